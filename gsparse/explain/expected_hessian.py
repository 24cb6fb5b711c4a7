"""Bayesian Group Expected Hessian: which features or units interact."""

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

#: Rows of all Hessians together, where every node has one of its own.
MOST_ROWS = 100_000


def expected_hessian(hessians: Iterator[Tensor], shares: Tensor) -> Tensor:
    r"""The group expected Hessian of one network.

    .. math::
        \operatorname{GEH}_{ij} = \sum_m \frac{|A_m|}{N}
            \left| \mathbb{E}_{x \in A_m} h_{ij}(x) \right|

    averaged over the readouts. One group gives the absolute expected Hessian (AEH),
    groups of one node each the expected absolute Hessian (EAH), and splitting groups
    never lowers it: :math:`\operatorname{AEH} \le \operatorname{GEH} \le
    \operatorname{EAH}`.

    Args:
        hessians: The expected Hessian of each group, in turn.
        shares: :math:`|A_m| / N`.

    Shapes:
        - **hessians:** each :math:`(R, C, C)`
        - **shares:** :math:`(M,)`
        - **output:** :math:`(C, C)`

    Example:
        Two groups in which an interaction has opposite signs:

        >>> import torch
        >>> from gsparse.explain.expected_hessian import expected_hessian
        >>> h = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
        >>> expected_hessian(iter([h, -h]), torch.tensor([0.5, 0.5]))
        tensor([[0., 1.],
                [1., 0.]])
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
    r"""Scores how strongly pairs of features interact in a fitted model, by the
    Bayesian Group Expected Hessian of the `"Learning Global Pairwise Interactions with
    Bayesian Neural Networks" <https://arxiv.org/abs/1901.08361>`_ paper.

    :math:`h_{ij}(x) = \partial^2 g(x) / \partial x_i \partial x_j` is the interaction
    at one input; it is averaged within groups of inputs, and the absolute values over
    the groups (:func:`~gsparse.explain.expected_hessian.expected_hessian`), within each
    draw from the posterior; mean, standard deviation and interval are those over the
    draws. One group misses interactions whose sign changes, each input by itself
    reports every wiggle of the model as one; groups are between them.

    **On a graph** the inputs of a node are all features around it. What is varied here
    is a shift :math:`\delta \in \mathbb{R}^F`, added to the features of all nodes at
    once, and the Hessian is that of the mean output of a group at :math:`\delta = 0`.
    Groups are k-means clusters of :math:`\hat{A} X`, or of :math:`X` where the data has
    no edges or the model is a :class:`~gsparse.explain.BayesianMLP`. With ``layer``
    the shifted units are those that enter a deeper layer.

    **Which models.** :class:`~gsparse.explain.BayesianMLP` and
    :class:`~gsparse.explain.BayesianGCN` have a posterior, and with two layers a
    Hessian in closed form (seconds for hundreds of features); with more layers it costs
    one Hessian-vector product for each hidden unit. Any other smooth module is scored
    as one draw, at one product for each candidate, group and class; a sequence of
    modules (an ensemble, samples of your own) as so many. Models are put in evaluation
    mode. ReLU has no Hessian. Fused attention layers run PyG's code here, which is
    slower; build them with ``attention="reference"`` where an error asks for it.

    **When not to use it.** A score is in units of the output over those of two
    features: scale features alike. It says what the model does, not what is true of the
    data: see :func:`~gsparse.explain.permutation_null`. The paper's settings of the
    posterior and of the clusters could not be checked; concrete dropout and k-means are
    our choice, as are the shift on graphs and the average over classes.

    Args:
        model: A fitted model, called with features, edges and weights, as far as
            ``data`` has them; or draws from its posterior.
        data: Features ``x``, and the graph.
        groups: A number of clusters (1: AEH), a tensor of group numbers, or ``"each"``
            for every node by itself (EAH; small data only).
        draws: Networks drawn from the posterior of a Bayesian model; 20 if left out.
        candidates: Numbers of the units to pair, or how many to take: those of largest
            :func:`~gsparse.explain.gradient.expected_gradient`. ``None`` takes all.
        output: Column of the output to explain. ``None`` takes the only one, the
            difference of two, or averages the scores of each of more, less their mean.
        layer: Name of the module whose input units are scored; ``None`` for features.
        nodes: Nodes that inputs are averaged over; all if left out.
        seed: Of clusters and draws; ``None`` draws one.
        level: Share of the draws in the interval.
        names: Of all units.
        progress: ``True`` for a bar on stderr, or a function of what is done and what
            there is to do.

    Returns:
        The table of all pairs of candidates.

    Raises:
        ValueError: If the model is not smooth, or there are too many units or groups;
            says what to do.

    Example:
        Only the first two features interact, with strength 1:

        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from gsparse.explain import interactions
        >>> class Product(torch.nn.Module):
        ...     def forward(self, x):
        ...         return x[:, 0] * x[:, 1] + x[:, 2].sin()
        >>> data = Data(x=torch.linspace(-1, 1, 30).view(10, 3))
        >>> interactions(Product(), data, groups=2, seed=3).rows()[0]["mean"]
        1.0
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
    """Every node by itself: only where that is little work."""
    nodes_used = n if nodes is None else int(nodes.sum())
    if candidates is None:
        c = width
    else:
        c = candidates if isinstance(candidates, int) else len(candidates)
    if nodes_used * c > MOST_ROWS:
        raise ValueError(
            f"groups='each' takes a Hessian for every node, {MOST_ROWS:,} rows at most "
            f"(got {nodes_used:,} nodes x {c:,} units = {nodes_used * c:,} rows); take "
            "groups=8, fewer 'nodes' or fewer 'candidates'"
        )


def _score_name(groups: Groups, group: Tensor) -> str:
    if not isinstance(groups, Tensor) and groups == "each":
        return "EAH"
    num = int(group.max()) + 1
    return "AEH" if num == 1 else f"{num}-GEH"
