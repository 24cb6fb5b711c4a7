"""Graphs with bottlenecks: ``(row, col, weight, num_nodes, cut)``, pairs sorted."""

import torch


def canonical(row, col, num_nodes):
    low, high = torch.minimum(row, col), torch.maximum(row, col)
    key = (low * num_nodes + high)[low != high].unique()
    return key // num_nodes, key % num_nodes


def joined(half, degree, num_joins, seed=0):
    """Two random graphs joined by a few edges."""
    generator = torch.Generator().manual_seed(seed)
    size = (2, half * degree // 2)
    sides = [torch.randint(half, size, generator=generator) + i * half for i in (0, 1)]
    joins = torch.randint(half, (2, num_joins), generator=generator)
    joins[1] += half
    row, col = canonical(*torch.cat([*sides, joins], dim=1), 2 * half)
    return row, col, None, 2 * half, (row < half) & (col >= half)


def ring_of_cliques(num_cliques, size):
    """Cliques in a ring, each joined to the next by one edge."""
    one, other = torch.combinations(torch.arange(size)).t()
    start, n = size * torch.arange(num_cliques), num_cliques * size
    row = torch.cat([(one + start[:, None]).view(-1), start + size - 1])
    col = torch.cat([(other + start[:, None]).view(-1), (start + size) % n])
    row, col = canonical(row, col, n)
    half = num_cliques // 2 * size
    return row, col, None, n, (row < half) & (col >= half)


def weak_cliques(weight, size=60):
    """Two cliques, all pairs between them with one small weight."""
    row, col = torch.combinations(torch.arange(2 * size)).t()
    cut = (row < size) & (col >= size)
    return row, col, torch.where(cut, weight, 1.0).double(), 2 * size, cut


def spread_weights(orders, zeros=0.0, num_nodes=150, seed=0):
    """A random graph whose weights span so many orders of magnitude; some are zero."""
    generator = torch.Generator().manual_seed(seed)
    row, col = torch.combinations(torch.arange(num_nodes)).t()
    keep = torch.rand(row.numel(), generator=generator) < 0.3
    row, col = row[keep], col[keep]
    draw = torch.rand(row.numel(), generator=generator, dtype=torch.float64)
    weight = 10 ** (orders * (draw - 0.5))
    weight[torch.rand(row.numel(), generator=generator) < zeros] = 0
    return row, col, weight, num_nodes, torch.zeros_like(row, dtype=torch.bool)


def grid(rows, columns):
    """A grid without diagonals."""
    nodes = torch.arange(rows * columns).view(rows, columns)
    row = torch.cat([nodes[:-1].flatten(), nodes[:, :-1].flatten()])
    col = torch.cat([nodes[1:].flatten(), nodes[:, 1:].flatten()])
    row, col = canonical(row, col, rows * columns)
    return row, col, None, rows * columns, torch.zeros_like(row, dtype=torch.bool)


FAMILIES = {
    "joined by 1": joined(300, 30, 1),
    "joined by 2": joined(300, 30, 2),
    "joined by 8": joined(300, 30, 8),
    "joined by 64": joined(300, 30, 64),
    "20 cliques of 30": ring_of_cliques(20, 30),
    "80 cliques of 18": ring_of_cliques(80, 18),
    "weak links of 1e-2": weak_cliques(1e-2),
    "weak links of 1e-4": weak_cliques(1e-4),
    "weak links of 1e-8": weak_cliques(1e-8),
    "grid": grid(60, 20),
    "weights of 0": spread_weights(0, zeros=0.2),
    "weights over 1e4": spread_weights(4),
    "weights over 1e12, some 0": spread_weights(12, zeros=0.2),
}
