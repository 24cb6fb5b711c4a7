"""Hash that tells graphs apart, for masks with a parameter per edge."""

import hashlib

import torch
from torch import Tensor


def edge_mark(row: Tensor, col: Tensor) -> Tensor:
    """Return a hash of undirected edges in their canonical order.

    Shapes:
        - **row, col:** :math:`(M,)`
        - **output:** :math:`()`
    """
    ends = torch.stack([row, col]).cpu().contiguous().numpy()
    digest = hashlib.sha256(ends.tobytes()).digest()
    return torch.tensor(int.from_bytes(digest[:8], "big", signed=True))


def old_edge_mark(row: Tensor, col: Tensor) -> Tensor:
    """Return the hash in checkpoints of version 0.2, which some pairs of graphs share.

    Shapes:
        - **row, col:** :math:`(M,)`
        - **output:** :math:`()`
    """
    place = torch.arange(1, row.numel() + 1, device=row.device)
    return ((row * 1_000_003 + col) * (2 * place + 1)).sum().cpu()  # modulo 2**64


def has_mark(row: Tensor, col: Tensor, mark: Tensor) -> bool:
    """Return whether edges have a mark, of this version or of 0.2."""
    return any(int(make(row, col)) == int(mark) for make in (edge_mark, old_edge_mark))
