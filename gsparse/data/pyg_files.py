"""Process raw files by the PyG class of their data set.

The class runs in a temporary folder with links to the raw files, so that nothing is
written next to them and no processed file of another program is unpickled.
"""

import logging
import shutil
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Batch, Data
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage
from torch_geometric.utils import index_to_mask

from gsparse.data.cards import Card
from gsparse.data.edge_files import read_attributed
from gsparse.data.places import user_cache

_OUR_READERS = {"AttributedGraphDataset": read_attributed}
logger = logging.getLogger("gsparse.data")


def process(card: Card, folder: Path) -> Data:
    """Process the raw files in ``folder`` by their PyG class."""
    with tempfile.TemporaryDirectory(prefix="gsparse-", dir=_scratch()) as name:
        raw = Path(name) / Path(card.raw).relative_to(card.root)
        for file in card.files:
            (raw / file).parent.mkdir(parents=True, exist_ok=True)
            _link(folder / file, raw / file)
        return _run(card, name, check=lambda: None)


def download(card: Card, folder: Path, check: Callable[[Path], None]) -> Data:
    """Download the raw files by their PyG class, process them and keep them.

    Args:
        card: Card of the data set.
        folder: Folder to which the raw files are moved after they were processed.
        check: Function that is called with the folder of the files before they are
            read.

    Raises:
        OSError: If there is no connection or not enough disk space.
    """
    logger.warning("downloading %s from %s (%s)", card.name, card.url, _size(card))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder.parent) as name:
        raw = Path(name) / Path(card.raw).relative_to(card.root)
        data = _run(card, name, check=lambda: check(raw))
        for file in card.files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (raw / file).replace(folder / file)
    return data


def _scratch() -> Path | None:
    try:
        user_cache().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=user_cache()):
            return user_cache()
    except OSError:
        return None  # use the default folder for temporary files


def _link(old: Path, new: Path) -> None:
    try:
        new.symlink_to(old.resolve())
    except OSError:  # links may need a permission, as on Windows
        shutil.copyfile(old, new)


def _size(card: Card) -> str:
    if card.megabytes is not None:
        return f"{card.megabytes:g} MB"
    if " " in card.url:  # a description, where PyG has several addresses
        return "size unknown"
    try:
        request = urllib.request.Request(card.url, method="HEAD")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return f"{int(answer.headers['Content-Length']) / 1e6:.1f} MB"
    except (OSError, TypeError, ValueError):
        return "size unknown"


def _run(card: Card, root: str, check: Callable[[], None]) -> Data:
    kwargs: dict[str, Any] = dict(card.kwargs)
    if card.kind == "ogb":
        return _run_ogb(root, kwargs, check)
    # Imported here because it takes seconds and is rarely needed.
    import torch_geometric.datasets

    cls = _checking(getattr(torch_geometric.datasets, card.pyg_class), check)
    if card.pyg_class == "PPI":
        return _join([list(cls(root, split=part)) for part in ("train", "val", "test")])
    return cls(root, **kwargs)[0]


def _checking(cls: Any, check: Callable[[], None]) -> Any:  # noqa: ANN401
    """Subclass a data set so that ``check`` runs between download and processing."""
    read = _OUR_READERS.get(cls.__name__)

    def checked_process(self: Any) -> None:  # noqa: ANN401
        check()
        if read is None:
            cls.process(self)
        else:
            self.save([read(Path(self.raw_dir))], self.processed_paths[0])

    return type(cls.__name__, (cls,), {"process": checked_process})


def _join(parts: list[list[Data]]) -> Data:
    """Join many graphs into one; the masks tell the three parts."""
    graphs = [graph for part in parts for graph in part]
    data = Data.from_dict(Batch.from_data_list(graphs).to_dict())
    part_of = [part for part, group in enumerate(parts) for _ in group]
    sizes = torch.tensor([graph.num_nodes for graph in graphs])
    part = torch.tensor(part_of).repeat_interleave(sizes)
    data.train_mask, data.val_mask, data.test_mask = (part == k for k in range(3))
    return data


def _run_ogb(root: str, kwargs: dict[str, Any], check: Callable[[], None]) -> Data:
    try:
        from ogb.nodeproppred import PygNodePropPredDataset  # optional
    except ImportError as error:
        raise ImportError(
            f"data set {kwargs['name']!r} needs the package ogb; pip install ogb"
        ) from error
    allowed: list[Any] = [GlobalStorage, DataEdgeAttr, DataTensorAttr]
    with torch.serialization.safe_globals(allowed):
        dataset = _checking(PygNodePropPredDataset, check)(root=root, **kwargs)
    data, split = dataset[0], dataset.get_idx_split()
    for mask, part in (("train", "train"), ("val", "valid"), ("test", "test")):
        data[f"{mask}_mask"] = index_to_mask(split[part], data.num_nodes)
    return data
