"""Find dead units of trained models, and remove them."""

import copy
from typing import Any, NamedTuple, cast, get_args

import torch
from torch.nn import Module
from torch.nn.modules.batchnorm import _BatchNorm
from torch_geometric.data import Data

from gsparse.compaction.compact import compact
from gsparse.nn.calling import model_arguments
from gsparse.nn.evaluating import evaluating
from gsparse.prune.implicit import DeadBy, ImplicitReport, implicit_sparsity_report

TOO_FAR = 1e-4  # largest change of an output that should stay the same


class SilencedUnits(NamedTuple):
    """A copy of a model whose dead units are zero or constant."""

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
    r"""Return a copy of the model whose dead units are exactly 0 or exactly constant.

    Its layers keep their sizes; see :func:`remove_dead_units` for smaller ones. With
    ``by="activation"``, :math:`\gamma_u = \beta_u = 0` for units that are 0 at every
    node, so no output changes. With ``by="scale"`` only :math:`\gamma_u = 0`, since the
    model may depend on :math:`\mathrm{relu}(\beta_u)`: the unit is 0 if
    :math:`\beta_u \le 0` and constant otherwise, and ``error`` is the resulting change
    of the outputs.

    Args:
        model: See :func:`implicit_sparsity_report`; not changed.
        data: See :func:`implicit_sparsity_report`.
        by: ``"activation"`` or ``"scale"``.

    Raises:
        ValueError: If the criterion is unknown or no layer has a norm and a ReLU; if a
            dead unit has no scale, or is read before its ReLU.
    """
    if by not in get_args(DeadBy):
        known = " or ".join(map(repr, get_args(DeadBy)))
        raise ValueError(f"'by' must be {known} (got {by!r})")
    report = implicit_sparsity_report(model, data)
    out, num_constant = copy.deepcopy(model), 0
    for layer in report.layers:
        dead, module = layer.dead(by), cast(Any, out.get_submodule(layer.name))
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
            module.weight.masked_fill_(dead, 0.0)
            module.bias.masked_fill_(dead & ~constant, 0.0)
    change = largest_change(model, out, data)
    if by == "activation" and change > TOO_FAR:
        raise ValueError(
            f"dead units must be read through their ReLU only (got an output that "
            f"changes by {change:.2g} without them); check whether a normalised value "
            "is read twice"
        )
    return SilencedUnits(out, report, num_constant, change)


def remove_dead_units(
    model: Module, data: Data | tuple[Any, ...], by: DeadBy = "activation"
) -> RemovedUnits:
    r"""Return a physically smaller copy of the model without its dead units.

    It calls :func:`silence_dead_units` and then :func:`~gsparse.compaction.compact`,
    which removes units that are 0 at every node from all layers. With
    ``by="activation"`` the logits on this graph stay the same. With ``by="scale"`` they
    change by ``error``: a unit with :math:`\gamma_u \approx 0` outputs
    :math:`\mathrm{relu}(\beta_u)`. If this is 0, the unit is removed; otherwise it is
    moved into a bias where that is exact. Before a propagation it is not exact, and the
    unit is kept.

    Do not use it before the training is finished, since removed units cannot come back,
    and do not use ``by="activation"`` for a model that will be applied to other graphs.
    It costs a copy of the model and some forward passes.

    Args:
        model: See :func:`implicit_sparsity_report`; not changed.
        data: See :func:`implicit_sparsity_report`.
        by: ``"activation"`` or ``"scale"``.

    Raises:
        ValueError: See :func:`silence_dead_units` and
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
    return sum(it.num_features for it in model.modules() if isinstance(it, _BatchNorm))


@torch.no_grad()
def largest_change(
    first: Module, second: Module, data: Data | tuple[Any, ...]
) -> float:
    """Return the largest difference between the outputs of two models in evaluation."""
    found = []
    for model in (first, second):
        with evaluating(model):
            found.append(model(*model_arguments(data)))
    return float((found[0] - found[1]).abs().max())
