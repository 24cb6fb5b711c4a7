"""Read and write adjacency matrices in the `Matrix Market format
<https://math.nist.gov/MatrixMarket>`_.
"""

import re
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.data.check_graph import check_num_nodes
from gsparse.data.edge_lists import edge_lines, read_columns

BANNER = b"%%matrixmarket"

_SIZES = re.compile(
    rb"(?:[ \t]*(?:%[^\n]*)?\n)*[ \t]*(\d+)[ \t]+(\d+)[ \t]+(\d+)[ \t]*\n"
)
_FIELDS = ("real", "double", "integer", "pattern")
_SYMMETRIES = ("general", "symmetric", "skew-symmetric")


class _Header(NamedTuple):
    symmetry: str
    num_columns: int
    num_nodes: int
    num_entries: int
    body: bytes


def is_matrix_market(content: bytes) -> bool:
    """Return whether the text starts with the banner of the format."""
    return content[: len(BANNER)].lower() == BANNER


def read_matrix_market(content: bytes, where: object) -> Data:
    """Read entry ``(i, j)`` of a square sparse matrix as the edge from i - 1 to j - 1.

    A symmetric matrix lists one triangle only; the edges of the other triangle are
    added at the end. The values become ``edge_weight``, except for ``pattern``.

    Raises:
        ValueError: If the matrix is not square, complex or dense, or the number of
            entries is not the one in the header.
    """
    header = _read_header(content, where)
    if header.num_entries == 0 and not header.body.strip():
        ids, weight = torch.empty(2, 0, dtype=torch.long), torch.empty(0)
    else:
        ids, weight = read_columns(header.body, header.num_columns, where)
    if ids.size(1) != header.num_entries:
        raise ValueError(
            f"{where} must have the {header.num_entries} entries that its header "
            f"declares (got {ids.size(1)})"
        )
    if ids.numel() and not (ids.min() >= 1 and ids.max() <= header.num_nodes):
        raise ValueError(
            f"{where} must have indices from 1 to {header.num_nodes} "
            f"(got {int(ids.min())} to {int(ids.max())})"
        )
    ids, weight = _expand(ids - 1, weight, header.symmetry, where)
    data = Data(edge_index=ids, num_nodes=header.num_nodes)
    if header.num_columns == 3:
        data.edge_weight = weight
    return data


def write_matrix_market(data: Data) -> str:
    """Write every edge as an entry of a general matrix."""
    field = "pattern" if data.get("edge_weight") is None else "real"
    size = f"{data.num_nodes} {data.num_nodes} {data.num_edges}"
    head = f"%%MatrixMarket matrix coordinate {field} general\n{size}\n"
    return head + edge_lines(data, " ", first=1)


def _read_header(content: bytes, where: object) -> _Header:
    banner, _, rest = content.partition(b"\n")
    words = banner.decode("ascii", "replace").lower().split()
    if len(words) != 5 or words[1:3] != ["matrix", "coordinate"]:
        raise ValueError(
            f"{where} must hold a sparse matrix: '%%MatrixMarket matrix coordinate "
            f"FIELD SYMMETRY' (got {' '.join(words)!r:.80})"
        )
    if words[3] not in _FIELDS or words[4] not in _SYMMETRIES:
        raise ValueError(
            f"{where} must be a matrix of one of {', '.join(_FIELDS)} and one of "
            f"{', '.join(_SYMMETRIES)} (got {words[3]} {words[4]})"
        )
    sizes = _SIZES.match(rest if rest.endswith(b"\n") else rest + b"\n")
    if sizes is None or max(map(len, sizes.groups())) > 18:
        raise ValueError(f"{where} must declare its rows, columns and entries")
    num_rows, num_columns, num_entries = map(int, sizes.groups())
    if num_rows != num_columns:
        raise ValueError(
            f"{where} must hold a square adjacency matrix "
            f"(got {num_rows} x {num_columns})"
        )
    check_num_nodes(num_rows, where)
    width = 2 if words[3] == "pattern" else 3
    return _Header(words[4], width, num_rows, num_entries, rest[sizes.end() :])


def _expand(
    ids: Tensor, weight: Tensor, symmetry: str, where: object
) -> tuple[Tensor, Tensor]:
    if symmetry == "general":
        return ids, weight
    off = ids[0] != ids[1]
    key = ids.amin(0) * (int(ids.max()) + 1 if ids.numel() else 1) + ids.amax(0)
    if key.unique().numel() != key.numel():
        raise ValueError(f"{where} must list one triangle of a {symmetry} matrix")
    sign = -1 if symmetry == "skew-symmetric" else 1
    ids = torch.cat([ids, ids[:, off].flip(0)], dim=1)
    return ids, torch.cat([weight, sign * weight[off]]) if weight.numel() else weight
