"""Bayesian Group Expected Hessian: importances of pairs of features or units."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.edges import draw_seed
from gsparse.explain.bayesian import BayesianMLP
from gsparse.explain.gradient import Candidates, candidate_units
from gsparse.explain.groups import Groups, group_numbers
from gsparse.explain.hessian import (
    call,
    find_place,
    layer_number,
    product_hessians,
    width_of,
)
from gsparse.explain.progress import Progress, teller
from gsparse.explain.question import inputs_of, posterior, readouts
from gsparse.explain.table import Interactions
from gsparse.explain.two_layer import Inputs, bends_once, closed_hessians
from gsparse.nn.evaluating import evaluating

#: Maximum number of rows of all Hessians if every node has its own Hessian.
MOST_ROWS = 100_000


def expected_hessian(hessians: Iterator[Tensor], shares: Tensor) -> Tensor:
    r"""Compute the group expected Hessian of one network.

    Example:
        In two groups, an interaction has opposite signs:

        >>> import torch
        >>> from gsparse.explain.expected_hessian import expected_hessian
        >>> h = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
        >>> expected_hessian(iter([h, -h]), torch.tensor([0.5, 0.5]))
        tensor([[0., 1.],
                [1., 0.]])

    The result is the mean over the readouts of

    .. math::
        \operatorname{GEH}_{ij} = \sum_m \frac{|A_m|}{N}
            \left| \mathbb{E}_{x \in A_m} h_{ij}(x) \right|.

    One group gives the absolute expected Hessian (AEH), and groups of one node each
    give the expected absolute Hessian (EAH). Splitting groups never lowers the result:
    :math:`\operatorname{AEH} \le \operatorname{GEH} \le \operatorname{EAH}`.

    Args:
        hessians: Expected Hessian of each group.
        shares: Fraction of the nodes in each group, :math:`|A_m| / N`.

    Shapes:
        - **hessians:** each :math:`(R, C, C)`
        - **shares:** :math:`(M,)`
        - **output:** :math:`(C, C)`
    """
    total: Any = 0
    for share, hessian in zip(shares, hessians, strict=True):
        total = total + share * hessian.abs().mean(0)
    return total


def interactions(
    model: Module | Sequence[Module],
    data: Data,
    *,
    groups: Groups = 8,
    draws: int | None = None,
    candidates: Candidates | None = None,
    output: int | None = None,
    layer: str | None = None,
    nodes: Tensor | None = None,
    seed: int | None = None,
    level: float = 0.9,
    names: Sequence[str] | None = None,
    progress: bool | Progress = False,
) -> Interactions:
    r"""Compute how strongly pairs of features interact in a fitted model, by the
    Bayesian Group Expected Hessian of the `"Learning Global Pairwise Interactions with
    Bayesian Neural Networks" <https://arxiv.org/abs/1901.08361>`_ paper.

    Example:
        Only the first two features interact, with importance 1:

        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from gsparse.explain import interactions
        >>> class Product(torch.nn.Module):
        ...     def forward(self, x):
        ...         return x[:, 0] * x[:, 1] + x[:, 2].sin()
        >>> data = Data(x=torch.linspace(-1, 1, 30).view(10, 3))
        >>> interactions(Product(), data, groups=2, seed=3).rows()[0]["mean"]
        1.0

    The interaction of two features at an input is the second derivative
    :math:`h_{ij}(x) = \partial^2 g(x) / \partial x_i \partial x_j` of the output. It is
    averaged over the inputs of a group, and its absolute value over the groups
    (:func:`~gsparse.explain.expected_hessian.expected_hessian`). This is repeated for
    each draw from the posterior, which gives a mean, a standard deviation and an
    interval. A single group misses interactions whose sign changes, and groups of one
    input each report all nonlinearities of the model; use a few groups.

    **On a graph**, the output at a node depends on the features of many nodes. The
    Hessian is taken with respect to a shift :math:`\delta \in \mathbb{R}^F` that is
    added to the features of all nodes, of the mean output of a group at
    :math:`\delta = 0`. Groups are k-means clusters of :math:`\hat{A} X`, or of
    :math:`X` if the data has no edges or the model is a
    :class:`~gsparse.explain.BayesianMLP`. With ``layer``, the shift is added to the
    input of a deeper layer.

    **Models.** :class:`~gsparse.explain.BayesianMLP` and
    :class:`~gsparse.explain.BayesianGCN` have a posterior. With two layers their
    Hessian has a closed form (seconds for hundreds of features); with more layers it
    costs one Hessian-vector product per hidden unit. Any other smooth module is treated
    as one draw and costs one product per candidate, group and class. A sequence of
    modules (for example an ensemble) is treated as that many draws. Models are
    evaluated in evaluation mode. ReLU is refused, because its second derivative is 0.
    Fused attention layers run PyG's slower code here; build them with
    ``attention="reference"`` if an error asks for it.

    **When not to use it.** The importance of a pair is in units of the output divided
    by those of both features, so the features must have similar scales. It describes
    the model and not the data, see :func:`~gsparse.explain.permutation_null`. The
    paper's settings of the posterior and of the clusters could not be checked; concrete
    dropout, k-means, the shift on graphs and the mean over classes are our choices.

    Args:
        model: Fitted model that is called with the features, edges and weights of
            ``data``, or a sequence of draws from its posterior.
        data: Graph with features ``x``.
        groups: Number of clusters (1: AEH), a tensor of group numbers, or ``"each"``
            for one group per node (EAH; for small data only).
        draws: Number of draws from the posterior of a Bayesian model; default 20.
        candidates: Numbers of the units to pair, or how many of the largest
            :func:`~gsparse.explain.gradient.expected_gradient`. ``None`` takes all.
        output: Column of the output to explain. ``None`` takes the only column, the
            difference of two columns, or the mean importance over more columns, each
            minus the mean of all.
        layer: Name of the module whose input units are paired; ``None`` for features.
        nodes: Nodes over which inputs are averaged; all by default.
        seed: Random seed of clusters and draws; ``None`` draws one.
        level: Fraction of the draws in the interval.
        names: Names of all units.
        progress: ``True`` for a progress bar on stderr, or a function that is called
            with the completed and the total number of steps.

    Returns:
        The table of all pairs of candidates.

    Shapes:
        - **data.x:** :math:`(N, F)`
        - **groups**, **nodes:** :math:`(N,)`

    Raises:
        ValueError: If the model is not smooth, or there are too many units or groups.
    """
    propagate = data.edge_index is not None and not isinstance(model, BayesianMLP)
    inputs, seed = inputs_of(data), draw_seed(seed)
    networks, num = posterior(model, draws, seed)
    with ExitStack() as modes:
        for network in [model] if isinstance(model, Module) else model:
            modes.enter_context(evaluating(network))
        start = model if isinstance(model, Module) else model[0]
        with torch.no_grad():
            readout = readouts(call(start, inputs), output)
        width = width_of(start, inputs, find_place(start, layer, narrow=False))[1]
        grouped = Data(x=inputs[0], edge_index=inputs[1], edge_weight=inputs[2])
        if not isinstance(groups, Tensor) and groups == "each":
            _check_rows(nodes, data.x.size(0), candidates, width)
        group = group_numbers(groups, grouped, nodes, seed, propagate)
        units = candidate_units(
            candidates, width, networks, inputs, group, readout, layer
        )
        sizes = group[group >= 0].bincount()
        shares = (sizes / sizes.sum()).to(readout.dtype)
        tell = teller(progress, "interactions")
        upper = torch.triu_indices(units.numel(), units.numel(), 1)
        upper = upper.to(units.device)
        rows = []
        for k, network in enumerate(networks()):
            found = _hessians(network, inputs, group, readout, units, layer)
            counted = _told(found, tell, k * sizes.numel(), num * sizes.numel())
            rows.append(expected_hessian(counted, shares)[upper[0], upper[1]])
    i, j = units[upper]
    name = _score_name(groups, group)
    return Interactions(i, j, torch.stack(rows), width, name, level, names)


def _hessians(
    network: Module,
    inputs: Inputs,
    group: Tensor,
    readout: Tensor,
    units: Tensor,
    layer: str | None,
) -> Iterator[Tensor]:
    num_groups, number = int(group.max()) + 1, layer_number(network, layer)
    if number is not None and bends_once(network, number):
        return closed_hessians(
            network,  # type: ignore[arg-type]
            inputs,
            group,
            num_groups,
            readout,
            units,
            number,
        )
    place = find_place(network, layer)
    if place.through is not None and place.through.size(0) >= units.numel():
        place = find_place(network, layer, narrow=False)
    return product_hessians(network, inputs, group, num_groups, readout, units, place)


def _told(
    found: Iterator[Tensor], tell: Progress, before: int, total: int
) -> Iterator[Tensor]:
    for done, hessian in enumerate(found, before + 1):
        yield hessian
        tell(done, total)


def _check_rows(
    nodes: Tensor | None, n: int, candidates: Candidates | None, width: int
) -> None:
    """Refuse too many Hessians for groups of one node each."""
    n = n if nodes is None else int(nodes.sum())
    chosen = range(width) if candidates is None else candidates
    c = chosen if isinstance(chosen, int) else len(chosen)
    if n * c > MOST_ROWS:
        raise ValueError(
            f"groups='each' computes a Hessian for every node, at most {MOST_ROWS:,} "
            f"rows (got {n:,} nodes x {c:,} units = {n * c:,} rows); use groups=8, "
            "fewer 'nodes' or fewer 'candidates'"
        )


def _score_name(groups: Groups, group: Tensor) -> str:
    if not isinstance(groups, Tensor) and groups == "each":
        return "EAH"
    num = int(group.max()) + 1
    return "AEH" if num == 1 else f"{num}-GEH"
