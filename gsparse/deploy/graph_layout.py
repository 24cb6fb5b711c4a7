"""Choose nodes of a graph to draw, and positions for them."""

from collections import deque

import torch
from torch import Tensor

_STEPS = 240
_NEAR = 1e-3
_GRAVITY = 0.05
_TURNS = 36


def sample_nodes(pairs: Tensor, num_nodes: int, most: int, seed: int) -> Tensor:
    """Return the nodes nearest to a random one, or all nodes if there are few.

    With all neighbours of most of its nodes, such a part looks like the graph.

    Args:
        pairs: Undirected edges, each once.
        num_nodes: Number of nodes.
        most: Largest number of nodes.
        seed: Random seed.

    Shapes:
        - **pairs:** :math:`(2, M)`
        - **output:** :math:`(n,)`, ascending

    Example:
        >>> import torch
        >>> from gsparse.deploy.graph_layout import sample_nodes
        >>> pairs = torch.tensor([[0, 1, 3], [1, 2, 4]])
        >>> sample_nodes(pairs, 5, most=3, seed=7).numel()
        3
    """
    if num_nodes <= most:
        return torch.arange(num_nodes)
    row, col = torch.cat([pairs, pairs.flip(0)], dim=1)
    row, order = row.sort(stable=True)
    neighbours = col[order].tolist()
    bounds = torch.searchsorted(row, torch.arange(num_nodes + 1)).tolist()
    generator = torch.Generator().manual_seed(seed)
    starts = torch.randperm(num_nodes, generator=generator).tolist()
    starts.sort(key=lambda node: bounds[node] == bounds[node + 1])  # without edges last
    found: dict[int, None] = {}
    for start in starts:
        queue = deque([start])
        while queue and len(found) < most:
            node = queue.popleft()
            if node not in found:
                found[node] = None
                queue.extend(neighbours[bounds[node] : bounds[node + 1]])
        if len(found) >= most:
            break
    return torch.tensor(sorted(found))


def layout(pairs: Tensor, num_nodes: int, seed: int) -> Tensor:
    r"""Return positions at which neighbours are near each other and others are not.

    Edges pull with a force of :math:`\log(1 + d)` at distance :math:`d`, and two nodes
    of degrees :math:`k` and :math:`l` repel each other with :math:`(k + 1)(l + 1) / d`,
    which separates clusters. A weak pull to the centre holds components together. It
    takes time and memory for all pairs of nodes.

    Args:
        pairs: Undirected edges, each once.
        num_nodes: Number of nodes.
        seed: Random seed of the first positions.

    Shapes:
        - **pairs:** :math:`(2, M)`
        - **output:** :math:`(N, 2)`, within a circle of radius 1

    Example:
        Two triangles with an edge between them are drawn apart:

        >>> from gsparse.data import barbell
        >>> from gsparse.edges import undirected_pairs
        >>> from gsparse.deploy.graph_layout import layout
        >>> pairs = undirected_pairs(barbell(3).edge_index, 6)
        >>> place = layout(torch.stack([pairs.row, pairs.col]), 6, seed=7)
        >>> near, far = (place[1] - place[0]).norm(), (place[1] - place[4]).norm()
        >>> bool(far > 2 * near)
        True
    """
    generator = torch.Generator().manual_seed(seed)
    size = num_nodes**0.5
    place = size * torch.randn(num_nodes, 2, generator=generator, dtype=torch.float64)
    if num_nodes < 2:
        return torch.zeros_like(place)
    u, v = pairs
    degree = torch.bincount(pairs.flatten(), minlength=num_nodes).double()
    mass = degree + 1
    for step in range(_STEPS):
        apart = place[:, None] - place[None]  # [N, N, 2]
        square = apart.square().sum(2) + _NEAR
        force = (apart * (mass / square)[..., None]).sum(1) * mass[:, None]
        pull = place[v] - place[u]
        pull = pull * pull.norm(dim=1, keepdim=True).add(_NEAR).sqrt()
        force = force.index_add(0, u, pull).index_add(0, v, -pull)
        force -= _GRAVITY * mass[:, None] * place
        heat = size * (1 - step / _STEPS) ** 2
        strength = force.norm(dim=1, keepdim=True) + 1e-12
        move = (strength / mass[:, None]).clamp(max=heat)
        place = place + force / strength * move
    return _fitted(place)


def _fitted(place: Tensor) -> Tensor:
    """Turn positions so that they fill a square, and scale them to it."""
    angles = torch.arange(_TURNS, dtype=place.dtype) * (torch.pi / 2 / _TURNS)
    turns = torch.stack([angles.cos(), angles.sin(), -angles.sin(), angles.cos()], 1)
    turned = place @ turns.view(-1, 2, 2)  # [A, N, 2]
    low, high = turned.amin(1), turned.amax(1)
    best = int((high - low).amax(1).argmin())
    middle = (low[best] + high[best]) / 2
    half = (high[best] - low[best]).max() / 2
    return (turned[best] - middle) / half.clamp(min=1e-12)
