"""Dead units removed: set to exactly what they say, then taken out of the layers."""

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.modules.batchnorm import _BatchNorm
from torch_geometric.data import Data

from gsparse.compaction.compact import compact
from gsparse.nn.evaluating import evaluating
from gsparse.prune.implicit import (
    DeadBy,
    ImplicitReport,
    implicit_sparsity_report,
    model_arguments,
)

# ruff: noqa: ANN401 (attributes of layers of any kind)

TOO_FAR = 1e-4  # for an output that should not change


class SilencedUnits(NamedTuple):
    """A copy of a model in which dead units say nothing, or always the same."""

    model: Module
    report: ImplicitReport
    """Of the model before."""
    num_constant: int
    """Units that are dead by scale and now say the same at every node, not 0."""
    error: float
    """Largest change of an output on the data, over nodes and classes."""


class RemovedUnits(NamedTuple):
    """A smaller copy of a model, without its dead units."""

    model: Module
    report: ImplicitReport
    """Of the model before."""
    num_before: int
    """Units of the layers of the report."""
    num_after: int
    """Those that are left."""
    num_constant: int
    """Units that are dead by scale and say the same at every node, but not 0: they
    stay wherever no bias can say it in their place."""
    error: float
    """Largest change of an output on the data, over nodes and classes."""


def silence_dead_units(
    model: Module, data: Data | tuple[Any, ...], by: DeadBy = "activation"
) -> SilencedUnits:
    r"""A copy of the model whose dead units are exactly 0, or exactly constant.

    Its layers keep their sizes: see :func:`remove_dead_units`. By ``"activation"``:
    :math:`\gamma_u = \beta_u = 0`, and what was 0 at every node before still is. By
    ``"scale"``: :math:`\gamma_u = 0` only, since :math:`\mathrm{relu}(\beta_u)` may be
    what the model counts on; the unit is silent where :math:`\beta_u \le 0` and
    constant elsewhere, and ``error`` says what the little that :math:`\gamma_u` did was
    worth.

    Args:
        model: As for :func:`implicit_sparsity_report`; not changed.
        data: As for :func:`implicit_sparsity_report`.
        by: ``"activation"`` or ``"scale"``.

    Raises:
        ValueError: If there is no such criterion or nothing to look at; if a dead unit
            has no scale of its own, or is read past its ReLU.
    """
    if by not in get_args(DeadBy):
        known = " or ".join(map(repr, get_args(DeadBy)))
        raise ValueError(f"'by' must be {known} (got {by!r})")
    report = implicit_sparsity_report(model, data)
    out, num_constant = copy.deepcopy(model), 0
    for layer in report.layers:
        dead, module = layer.dead(by), out.get_submodule(layer.name)
        constant = dead & (layer.shift > 0) & (by == "scale")
        num_constant += int(constant.sum())
        if not bool(dead.any()):
            continue
        if module.weight is None:
            raise ValueError(
                f"{layer.name!r} must have a scale to silence its dead units (got "
                "affine=False); train it with affine=True"
            )
        with torch.no_grad():
            for parameter, zero in _zeros(module, dead, constant):
                parameter.masked_fill_(zero, 0.0)
    change = largest_change(model, out, data)
    if by == "activation" and change > TOO_FAR:
        raise ValueError(
            f"dead units must be read through their ReLU only (got an output that "
            f"changes by {change:.2g} without them); is a normalised value read twice?"
        )
    return SilencedUnits(out, report, num_constant, change)


def remove_dead_units(
    model: Module, data: Data | tuple[Any, ...], by: DeadBy = "activation"
) -> RemovedUnits:
    r"""A physically smaller copy of the model without its dead units.

    :func:`silence_dead_units`, then :func:`~gsparse.compaction.compact`, which
    takes whatever is 0 at every node out of all layers around it. By ``"activation"``
    the scores on this graph are those of before. By ``"scale"`` they change by what
    ``error`` says: a unit with :math:`\gamma_u \approx 0` emits
    :math:`\mathrm{relu}(\beta_u)`. If that is 0, the unit goes; else a bias says it
    in its place where that is exact. Before a propagation it is not, and the unit
    stays.

    Not of use before the training is over, as units that are gone cannot come back, and
    not by ``"activation"`` for a model that will see other graphs.

    Args:
        model: As for :func:`implicit_sparsity_report`; not changed.
        data: As for :func:`implicit_sparsity_report`.
        by: ``"activation"`` or ``"scale"``.

    Raises:
        ValueError: As for :func:`silence_dead_units` and
            :func:`~gsparse.compaction.compact`.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.data import complete
        >>> from gsparse.compaction import remove_dead_units
        >>> data = complete(4)
        >>> data.x = torch.eye(4)
        >>> model = GCN(4, 8, num_layers=2, out_channels=2, norm="BatchNorm")
        >>> with torch.no_grad():
        ...     _ = model.norms[0].module.weight[:3].zero_()
        >>> remove_dead_units(model, data, by="scale").model.convs
        ModuleList(
          (0): GCNConv(4, 5)
          (1): GCNConv(5, 2)
        )
    """
    silent = silence_dead_units(model, data, by)
    small = compact(silent.model, model_arguments(data))
    gone = _num_normalised(model) - _num_normalised(small)
    before = silent.report.num_units
    return RemovedUnits(
        small,
        silent.report,
        before,
        before - gone,
        silent.num_constant,
        largest_change(model, small, data),
    )


def _num_normalised(model: Module) -> int:
    found = (it.num_features for it in model.modules() if isinstance(it, _BatchNorm))
    return sum(found)


def _zeros(
    module: Any, dead: Tensor, constant: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    yield module.weight, dead
    yield module.bias, dead & ~constant


@torch.no_grad()
def largest_change(
    first: Module, second: Module, data: Data | tuple[Any, ...]
) -> float:
    """Largest difference of two models' outputs in evaluation, over all entries."""
    found = []
    for model in (first, second):
        with evaluating(model):
            found.append(model(*model_arguments(data)))
    return float((found[0] - found[1]).abs().max())
