"""Folders of processed graphs, written and read as data sets of PyG without pickle."""

import copy
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, InMemoryDataset

from gsparse.data.io import read_graph, write_graph
from gsparse.data.places import replacing

FORMAT = 1
_CONTENTS = "graphs.json"
_MOST = 10_000_000


def write_dataset(graphs: Data | Iterable[Data], root: str | Path) -> int:
    """Write graphs, such as those that a sparsifier returns, as a data set of PyG.

    The folder gets ``processed/graph_0.npz``, ``graph_1.npz`` and so on, NumPy archives
    of all tensors and lists of text, and ``graphs.json`` with their number.
    :class:`SavedDataset` reads it. ``e_id`` is among the tensors, so that the original
    positions of the kept edges stay known. Sparse features are written as dense ones,
    compressed.

    Args:
        graphs: A graph or several, for example a data set.
        root: Folder of the data set; it is created. A data set that was written there
            before is replaced.

    Returns:
        The number of graphs.

    Raises:
        TypeError: If a graph is heterogeneous, or a batch.
        ValueError: If there is no graph, or a tensor cannot be written to ``.npz``.

    Example:
        >>> import tempfile
        >>> from gsparse.data import SavedDataset, karate, write_dataset
        >>> from gsparse.transforms import RandomEdge
        >>> thin = RandomEdge(sparsity=0.5, seed=7)(karate())
        >>> with tempfile.TemporaryDirectory() as root:
        ...     count = write_dataset(thin, root)
        ...     dataset = SavedDataset(root)
        >>> dataset, dataset[0].edge_index.equal(thin.edge_index)
        (SavedDataset(), True)
    """
    found = [graphs] if isinstance(graphs, Data) else list(graphs)
    if not found:
        raise ValueError("'graphs' must hold a graph (got none)")
    for graph in found:
        if not isinstance(graph, Data) or isinstance(graph, Batch):
            raise TypeError(
                "'graphs' must be single homogeneous graphs, each a Data "
                f"(got {type(graph).__name__})"
            )
    folder = Path(root) / "processed"
    folder.mkdir(parents=True, exist_ok=True)
    contents = folder / _CONTENTS
    contents.unlink(missing_ok=True)  # until all graphs are complete there are none
    for number, graph in enumerate(found):
        write_graph(_dense(graph), folder / _name(number))
    with replacing(contents) as temporary:
        text = json.dumps({"format": FORMAT, "num_graphs": len(found)})
        temporary.write_text(text + "\n", encoding="utf-8")
    return len(found)


class SavedDataset(InMemoryDataset):
    """A data set that :func:`write_dataset` has written.

    It behaves as other data sets in memory do, but has nothing to download or process,
    and reads no pickled file: not even the ``pre_transform.pt`` that PyG unpickles in
    the folders of data sets that have.

    Args:
        root: Folder of the data set.
        transform: Applied to a graph whenever it is read.

    Raises:
        FileNotFoundError: If there is no such data set, or a graph of it is missing.
        ValueError: If it is damaged, or of a newer format.
    """

    def __init__(
        self, root: str | Path, transform: Callable[[Data], Data] | None = None
    ) -> None:
        super().__init__(str(root), transform)
        folder = Path(root) / "processed"
        count = _read_number(folder / _CONTENTS)
        graphs = [read_graph(folder / _name(number)) for number in range(count)]
        self.data, self.slices = self.collate(graphs)


def _name(number: int) -> str:
    return f"graph_{number}.npz"


def _dense(graph: Data) -> Data:
    x = graph.get("x")
    if not isinstance(x, Tensor) or (type(x) is Tensor and x.layout == torch.strided):
        return graph
    graph = copy.copy(graph)
    graph.x = x.to_dense()
    return graph


def _read_number(path: Path) -> int:
    """Return the number of graphs from the contents of a folder."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no data set of write_dataset, {path}")
    try:
        record: Any = json.loads(path.read_text(encoding="utf-8"))
        version, count = record["format"], record["num_graphs"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error})") from None
    if type(version) is int and version > FORMAT:
        raise ValueError(
            f"{path} must be of format {FORMAT} at most (got {version}); install a "
            "newer gsparse"
        )
    if version != FORMAT or type(count) is not int or not 0 < count <= _MOST:
        raise ValueError(f"{path} is damaged (got {record!r:.200})")
    return count
