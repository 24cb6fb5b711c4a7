"""First-order importance of units, used to choose candidates for pairs."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.edges import draw_seed
from gsparse.explain.groups import group_numbers
from gsparse.explain.hessian import Place, call, find_place, shifted, width_of
from gsparse.explain.question import Networks, inputs_of, posterior, readouts
from gsparse.explain.two_layer import Inputs
from gsparse.nn.evaluating import evaluating

Candidates = int | Tensor | Sequence[int]
"""Numbers of units, or how many units of largest saliency."""

#: Maximum number of units whose pairs are all computed.
MOST_UNITS = 2048


def expected_gradient(
    model: Module, inputs: Inputs, group: Tensor, readout: Tensor, place: Place
) -> Tensor:
    r"""Compute the saliency, the mean of :math:`|\partial f / \partial x_i|`.

    Here :math:`f` is the sum of the outputs of all nodes, and the mean is over all
    nodes whose features are varied. Signs at different nodes do not cancel, so a
    feature that only matters in a product is found as well. Costs one backward pass per
    readout.

    Args:
        model: Any module.
        inputs: Inputs of the model.
        group: Group of each node; nodes of a negative group are excluded from the sum.
        readout: Weights of the output columns in rows; their saliencies are averaged.
        place: Result of :func:`~gsparse.explain.hessian.find_place`.

    Shapes:
        - **group:** :math:`(N,)`
        - **readout:** :math:`(R, C_{out})`
        - **output:** :math:`(F,)`
    """
    n, width = width_of(model, inputs, place)
    shift = torch.zeros(n, width, dtype=readout.dtype, device=readout.device)
    shift.requires_grad_(True)
    through = place.through
    size = width if through is None else through.size(1)
    total = readout.new_zeros(size)
    with torch.enable_grad():
        with shifted(place, shift):
            out = call(model, inputs)
        for value in out[group >= 0].sum(0) @ readout.t():
            if not value.requires_grad:
                continue
            (found,) = torch.autograd.grad(value, shift, retain_graph=True)
            for rows in found.split(4096):
                own = rows if through is None else rows @ through
                total += own.abs().sum(0)
    return total / (n * readout.size(0))


def saliency(
    model: Module | Sequence[Module],
    data: Data,
    *,
    draws: int | None = None,
    output: int | None = None,
    layer: str | None = None,
    nodes: Tensor | None = None,
    seed: int | None = None,
) -> Tensor:
    """Compute the first-order importance of every unit, averaged over the draws.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from gsparse.explain import saliency
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> _ = torch.nn.init.constant_(model.weight, 3.0)
        >>> saliency(model, Data(x=torch.ones(4, 2)))
        tensor([3., 3.])

    The importance of a unit is the mean absolute gradient of
    :func:`~gsparse.explain.gradient.expected_gradient`. It does not see interactions;
    use :func:`interactions` for them. Costs one backward pass per draw and class.

    Args:
        model: Fitted model, or a sequence of draws from its posterior.
        data: Graph with features ``x``.
        draws: Number of draws from the posterior of a Bayesian model; default 20.
        output: Column of the output to explain, see :func:`interactions`.
        layer: Name of the module whose input units are used; ``None`` for features.
        nodes: Nodes over which inputs are averaged; all by default.
        seed: Random seed of the draws; ``None`` draws one.

    Shapes:
        - **data.x:** :math:`(N, F)`
        - **nodes:** :math:`(N,)`
        - **output:** :math:`(F,)`
    """
    inputs = inputs_of(data)
    networks, _ = posterior(model, draws, draw_seed(seed))
    start = model if isinstance(model, Module) else model[0]
    group = group_numbers(1, Data(x=inputs[0]), nodes, 0, False)
    with evaluating(start), torch.no_grad():
        readout = readouts(call(start, inputs), output)
    return mean_gradient(networks, inputs, group, readout, layer)


def candidate_units(
    candidates: Candidates | None,
    width: int,
    networks: Networks,
    inputs: Inputs,
    group: Tensor,
    readout: Tensor,
    layer: str | None,
) -> Tensor:
    """Return the numbers of the units to pair in ascending order.

    Raises:
        ValueError: If there are too few or too many, or one does not exist.
    """
    device = readout.device
    if candidates is None:
        units = torch.arange(width, device=device)
    elif isinstance(candidates, int):
        if not 2 <= candidates <= width:
            raise ValueError(
                f"'candidates' must be in [2, {width}], the number of units "
                f"(got {candidates})"
            )
        found = mean_gradient(networks, inputs, group, readout, layer)
        order = found.argsort(descending=True, stable=True)
        units = order[:candidates].sort().values
    else:
        units = torch.as_tensor(candidates, device=device).long().unique()
        if units.numel() < 2 or units[0] < 0 or units[-1] >= width:
            raise ValueError(
                f"'candidates' must be at least 2 units in [0, {width}) "
                f"(got {units.tolist()[:10]})"
            )
    if not 2 <= units.numel() <= MOST_UNITS:
        raise ValueError(
            f"the pairs of 2 to {MOST_UNITS} units can be computed (got "
            f"{units.numel()} units); choose fewer, for example candidates=500"
        )
    return units


def mean_gradient(
    networks: Networks,
    inputs: Inputs,
    group: Tensor,
    readout: Tensor,
    layer: str | None,
) -> Tensor:
    """Average :func:`expected_gradient` over the draws."""
    found = []
    for network in networks():
        place = find_place(network, layer)
        with evaluating(network):
            found.append(expected_gradient(network, inputs, group, readout, place))
    return torch.stack(found).mean(0)
