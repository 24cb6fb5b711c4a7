"""Load a data set by name."""

import hashlib
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch_geometric
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import is_undirected

from gsparse.data.cards import Card, Variant, card
from gsparse.data.digits import digits
from gsparse.data.edge_files import read_structure
from gsparse.data.features import normalize_rows
from gsparse.data.places import download_root, is_offline, user_cache
from gsparse.data.pyg_files import download, process
from gsparse.data.raw_files import find_raw, identify, sha256_of, where_to_put
from gsparse.data.splits import split as choose_split
from gsparse.data.splits import split_name
from gsparse.data.store import Tensors, read_tensors, to_data, to_tensors, write_tensors

_REVISION = 1  # of the processed files; increase it to invalidate old ones
logger = logging.getLogger("gsparse.data")


def load(
    name: str,
    root: str | Path | None = None,
    split: str | None = None,
    seed: int = 0,
    *,
    sparse_features: bool = False,
) -> Data:
    """Load a data set and check its sizes.

    Example:
        >>> data = load("digits")
        >>> data.num_nodes, int(data.train_mask.sum())
        (1797, 50)

    Raw files are searched for in ``root``, in ``$GSPARSE_DATA``, and in
    ``datasets/raw`` of the checkout or the user cache. If they are missing, the PyG
    class downloads them to ``root`` or to the last of these folders;
    ``GSPARSE_OFFLINE=1`` disables downloads. The processed graph is stored as plain
    tensors in ``$GSPARSE_CACHE`` or the user cache, under a hash of the raw files and
    the version of PyG. Nothing is written next to the raw files, and several processes
    may load at the same time.

    For some data sets (the citation graphs of Planetoid), every row of ``x`` is divided
    by its sum, as in the papers.

    Args:
        name: Name of the data set, see :func:`gsparse.data.names`. Case, hyphens and
            spaces are ignored.
        root: Folder to search first. It has one folder per PyG class:
            ``root/Planetoid/Cora/raw/ind.cora.x``.
        split: Kind of the split, see :func:`gsparse.data.split`. The default depends on
            the data set. A graph without labels has no masks.
        seed: Number of the split of this kind.
        sparse_features: Whether ``x`` is ``torch.sparse_csr``, which most layers
            refuse; ``gsparse.load_dataset`` returns features that they take. Dense, the
            features of Coauthor Physics need 1.2 GB, but only 0.4 % are not zero.

    Returns:
        Graph with ``x``, ``y``, ``edge_index``, ``num_nodes``, one-dimensional
        ``train_mask``, ``val_mask``, ``test_mask``, and the strings ``name`` and
        ``variant`` (version of the raw files).

    Raises:
        ValueError: If the name or the split is unknown, the raw files are not trusted,
            or the sizes are not those of the card.
        FileNotFoundError: If there are no raw files and they cannot be downloaded.
    """
    entry = card(name)
    kind = split_name(split) if split is not None else entry.default_split
    if entry.kind == "embedded":
        data, variant = digits(), entry.variants[0]
    else:
        tensors, variant = _read(entry, root)
        data = to_data(tensors, sparse_features=sparse_features)
    _check_counts(entry, variant, data)
    if entry.normalize_features:
        data.x = normalize_rows(data.x)
    if kind:
        data = choose_split(data, kind, seed)
    data.name, data.variant = entry.name, variant.name
    return data


def _read(entry: Card, root: str | Path | None) -> tuple[Tensors, Variant]:
    folder = find_raw(entry, root)
    if folder is None:
        if is_offline() or entry.kind == "edges":
            why = "GSPARSE_OFFLINE is set" if is_offline() else "it has no downloader"
            raise FileNotFoundError(
                f"no raw files of {entry.name}, and {why}; {where_to_put(entry, root)}"
            )
        return _fetch(entry, root)
    hashes = sha256_of(folder, entry.files)
    variant = identify(entry, hashes)
    path = _processed_path(entry, hashes)
    tensors = read_tensors(path)
    if tensors is None:
        logger.info("processing %s from %s", entry.name, folder)
        made = read_structure(entry, folder) if entry.kind == "edges" else None
        tensors = to_tensors(made if made is not None else process(entry, folder))
        _keep(entry, variant, tensors, path)
    return tensors, variant


def _fetch(entry: Card, root: str | Path | None) -> tuple[Tensors, Variant]:
    folder = download_root(root) / entry.raw

    def check(raw: Path) -> None:
        identify(entry, sha256_of(raw, entry.files), just_downloaded=True)

    try:
        tensors = to_tensors(download(entry, folder, check))
    except OSError as error:
        raise FileNotFoundError(
            f"could not download {entry.name} from {entry.url} ({error}); "
            f"{where_to_put(entry, root)}"
        ) from error
    hashes = sha256_of(folder, entry.files)
    variant = identify(entry, hashes)
    _keep(entry, variant, tensors, _processed_path(entry, hashes))
    return tensors, variant


def _processed_path(entry: Card, hashes: Mapping[str, str]) -> Path:
    version = f"{torch_geometric.__version__} {_REVISION} {sorted(hashes.items())}"
    key = hashlib.sha256(f"{entry.name} {version}".encode()).hexdigest()[:16]
    return user_cache() / "processed" / f"{entry.name}-{key}.pt"


def _keep(entry: Card, variant: Variant, tensors: Tensors, path: Path) -> None:
    """Check the tensors against the card and store them if the cache is writable."""
    _check_counts(entry, variant, to_data(tensors, sparse_features=True))
    if entry.undirected and not is_undirected(tensors["edge_index"]):
        raise ValueError(
            f"{entry.name} must be undirected as its card says (got a directed graph)"
        )
    with suppress(OSError):
        write_tensors(tensors, path)


def _check_counts(entry: Card, variant: Variant, data: Data) -> None:
    y: Tensor | None = data.y
    classes = 0 if y is None else y.size(1) if y.dim() == 2 else int(y.max()) + 1
    got = {
        "num_nodes": data.num_nodes,
        "num_edges": data.num_edges,
        "num_features": 0 if data.x is None else data.x.size(1),
        "num_classes": classes,
    }
    for key, value in got.items():
        expected = getattr(variant, key)
        if expected is not None and value != expected:
            raise ValueError(
                f"{key!r} of {entry.name} ({variant.name}) must be {expected} as its "
                f"card says (got {value})"
            )
