"""Implicit unit sparsity: hidden units that training itself has switched off."""

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode
from torch_geometric.data import Data

from gsparse.nn.evaluating import evaluating
from gsparse.prune.compaction import compact

# ruff: noqa: ANN401 (torch functions take and return anything)

Criterion = Literal["activation", "scale"]

DEAD_ACTIVATION, DEAD_SCALE = 1e-12, 1e-3
INACTIVE = 1e-3  # of the largest activation of a unit
NAME, TOO_FAR = 28, 1e-4

_RELU = {torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
_RELU |= {torch.nn.functional.relu, torch.nn.functional.relu_}


def selectivity(activation: Tensor) -> Tensor:
    r"""Share of the nodes at which a unit is next to silent,
    :math:`|a_{iu}| < 10^{-3} \max_j |a_{ju}|`; NaN of one that is dead.

    Shapes:
        - **activation:** :math:`(N, C)`
        - **output:** :math:`(C,)`

    Example:
        >>> import torch
        >>> from gsparse.prune.implicit import selectivity
        >>> selectivity(torch.tensor([[4.0, 1, 0], [0, 1, 0], [0.001, 2, 0]]))
        tensor([0.6667, 0.0000,    nan])
    """
    size = activation.abs()
    most = size.amax(dim=0)
    share = (size < INACTIVE * most).to(activation.dtype).mean(dim=0)
    return share.masked_fill(most < DEAD_ACTIVATION, torch.nan)


class ImplicitLayer(NamedTuple):
    """The units of one batch normalisation that a ReLU follows.

    Shapes:
        - **activation, scale, shift, selectivity:** :math:`(C,)`
    """

    name: str
    """Of the module whose ``weight`` is the scale."""
    activation: Tensor
    """Largest activation over the nodes."""
    scale: Tensor
    r""":math:`|\gamma|`"""
    shift: Tensor
    r""":math:`\beta`"""
    selectivity: Tensor
    """As :func:`selectivity`; one minus it is the universality."""

    def dead(self, by: Criterion) -> Tensor:
        """Which units are dead by a criterion, as a bool each."""
        if by == "activation":
            return self.activation < DEAD_ACTIVATION
        return self.scale < DEAD_SCALE

    @property
    def num_units(self) -> int:
        """Dead ones included."""
        return self.activation.numel()

    @property
    def universality(self) -> float:
        """One minus the selectivity, mean over the units that live; NaN of none."""
        return 1 - float(self.selectivity.nanmean())


class ImplicitReport(NamedTuple):
    """What training has left of the units of a model."""

    layers: tuple[ImplicitLayer, ...]

    @property
    def num_units(self) -> int:
        """Of all layers here."""
        return sum(layer.num_units for layer in self.layers)

    def num_dead(self, by: Criterion) -> int:
        """Dead units of all layers by a criterion."""
        return sum(int(layer.dead(by).sum()) for layer in self.layers)

    def sparsity(self, by: Criterion) -> float:
        """Fraction of all units that are dead by a criterion."""
        return self.num_dead(by) / max(self.num_units, 1)

    def __str__(self) -> str:
        lines = [
            f"{'layer':{NAME}}  {'units':>6}  {'dead by activation':>18}  "
            f"{'by scale':>8}  {'universal':>9}"
        ]
        for it in self.layers:
            name = it.name if len(it.name) <= NAME else f"...{it.name[3 - NAME :]}"
            one = ImplicitReport((it,))
            lines.append(_line(name, one, f"{it.universality:9.3f}"))
        return "\n".join([*lines, _line("all", self, "").rstrip()])


def _line(name: str, report: ImplicitReport, last: str) -> str:
    return (
        f"{name:{NAME}}  {report.num_units:>6,}  {report.sparsity('activation'):>18.2%}"
        f"  {report.sparsity('scale'):>8.2%}  {last}"
    )


def implicit_sparsity_report(
    model: Module, data: Data | tuple[Any, ...]
) -> ImplicitReport:
    r"""Which hidden units a trained model does not use, as in the `"On implicit filter
    level sparsity in Convolutional Neural Networks"
    <https://arxiv.org/abs/1811.12495>`_ paper.

    Batch normalisation, ReLU and Adam with an L2 penalty switch units off for good:
    where the loss has no gradient left, Adam divides the penalty's gradient
    :math:`\lambda \theta` by its own size, so that :math:`\theta` goes to 0 in steps of
    the learning rate whatever :math:`\lambda`. With SGD, or with the decoupled decay of
    AdamW, the way there is exponential and slow.

    A unit is dead by activation if :math:`\max_i |a_{iu}| < 10^{-12}` over all nodes,
    in evaluation, and dead by scale if :math:`|\gamma_u| < 10^{-3}`. One that is dead
    by scale emits :math:`\mathrm{relu}(\beta_u)` at every node, which need not be 0.

    Looks at every batch normalisation, torch's and PyG's, whose output is what a ReLU
    is given: ``nn.ReLU``, or the function. Units between which something is added, such
    as a residual, are left out. Costs one forward pass.

    Differs from the paper: units in place of filters, nodes in place of images. The
    answer holds for the graph that was shown; on another one a unit that is dead by
    activation may come to life.

    Args:
        model: A trained model; its mode stays as it was.
        data: A graph with ``x``, or the arguments of the model as a tuple.

    Raises:
        ValueError: If no ReLU follows a batch normalisation.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.data import complete
        >>> from gsparse.prune.implicit import implicit_sparsity_report
        >>> data = complete(4)
        >>> data.x = torch.eye(4)
        >>> model = GCN(4, 8, num_layers=3, out_channels=2, norm="BatchNorm")
        >>> with torch.no_grad():
        ...     _ = model.norms[0].module.weight[:2].zero_()
        >>> report = implicit_sparsity_report(model, data)
        >>> report.num_dead("scale"), report.num_units
        (2, 16)
    """
    names: dict[Module, str] = {
        module: name
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm)
    }
    with evaluating(model), torch.no_grad(), ExitStack() as stack:
        watch = _Watch(names)
        for module in names:
            stack.callback(module.register_forward_hook(watch.normalised).remove)
        with watch:
            model(*_arguments(data))
    if not watch.found:
        raise ValueError(
            f"a ReLU must follow a batch normalisation of {type(model).__name__} (got "
            f"{len(names)} batch normalisations, none before a ReLU): units switch "
            "themselves off only there; build the model with them, such as "
            "GCN(..., norm='BatchNorm')"
        )
    return ImplicitReport(
        tuple(
            _layer(name, module, torch.cat(watch.found[module]))
            for module, name in names.items()
            if module in watch.found
        )
    )


def _arguments(data: Data | tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(data, Data):
        return tuple(data)
    weight = data.get("edge_weight")
    return (data.x, data.edge_index) + (() if weight is None else (weight,))


class _Watch(TorchFunctionMode):
    """Sees which tensors that come out of a normalisation go into a ReLU."""

    def __init__(self, names: dict[Module, str]) -> None:
        super().__init__()
        self.names = names
        self.outputs: list[tuple[Tensor, Module]] = []
        self.found: dict[Module, list[Tensor]] = {}

    def normalised(self, module: Module, args: Any, output: Tensor) -> None:
        self.outputs.append((output, module))

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Any = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        before = [it for it in self.outputs if func in _RELU and it[0] is args[0]]
        result = func(*args, **(kwargs or {}))
        for output, module in before:
            self.outputs = [it for it in self.outputs if it[0] is not output]
            self.found.setdefault(module, []).append(result.detach().clone())
        return result


def _layer(name: str, module: Module, activation: Tensor) -> ImplicitLayer:
    activation = activation.flatten(0, -2)
    ones = activation.new_ones(activation.size(1))
    scale, shift = module.weight, module.bias
    return ImplicitLayer(
        name,
        activation.abs().amax(dim=0),
        ones if scale is None else scale.detach().abs(),  # type: ignore[operator]
        0 * ones if shift is None else shift.detach().clone(),  # type: ignore[operator]
        selectivity(activation),
    )


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
    model: Module, data: Data | tuple[Any, ...], by: Criterion = "activation"
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
    if by not in get_args(Criterion):
        known = " or ".join(map(repr, get_args(Criterion)))
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
    model: Module, data: Data | tuple[Any, ...], by: Criterion = "activation"
) -> RemovedUnits:
    r"""A physically smaller copy of the model without its dead units.

    :func:`silence_dead_units`, then :func:`~gsparse.prune.compaction.compact`, which
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
            :func:`~gsparse.prune.compaction.compact`.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.data import complete
        >>> from gsparse.prune.implicit import remove_dead_units
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
    small = compact(silent.model, _arguments(data))
    left = sum(
        module.num_features
        for module in small.modules()
        if isinstance(module, _BatchNorm)
    )
    every = sum(
        module.num_features
        for module in model.modules()
        if isinstance(module, _BatchNorm)
    )
    before = silent.report.num_units
    return RemovedUnits(
        small,
        silent.report,
        before,
        before - (every - left),
        silent.num_constant,
        largest_change(model, small, data),
    )


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
            found.append(model(*_arguments(data)))
    return float((found[0] - found[1]).abs().max())
