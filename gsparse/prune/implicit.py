"""Implicit unit sparsity: hidden units that training has switched off."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode
from torch_geometric.data import Data

from gsparse.nn.calling import model_arguments
from gsparse.nn.evaluating import evaluating

# ruff: noqa: ANN401 (torch functions take and return anything)

DeadBy = Literal["activation", "scale"]

DEAD_ACTIVATION, DEAD_SCALE = 1e-12, 1e-3
INACTIVE = 1e-3  # share of the largest activation of a unit
NAME = 28  # width of a name in the table

_RELU = {torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
_RELU |= {torch.nn.functional.relu, torch.nn.functional.relu_}


def selectivity(activation: Tensor) -> Tensor:
    r"""Return the fraction of nodes at which a unit is almost inactive,
    :math:`|a_{iu}| < 10^{-3} \max_j |a_{ju}|`; NaN for a dead unit.

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
    """The units of one batch normalization that is followed by a ReLU.

    Shapes:
        - **activation, scale, shift, selectivity:** :math:`(C,)`
    """

    name: str
    """Name of the module whose ``weight`` is the scale."""
    activation: Tensor
    """Largest absolute activation over the nodes."""
    scale: Tensor
    r""":math:`|\gamma|`"""
    shift: Tensor
    r""":math:`\beta`"""
    selectivity: Tensor
    """Result of :func:`selectivity`; the universality is one minus it."""

    def dead(self, by: DeadBy) -> Tensor:
        """Return whether each unit is dead by a criterion."""
        if by == "activation":
            return self.activation < DEAD_ACTIVATION
        return self.scale < DEAD_SCALE

    @property
    def num_units(self) -> int:
        """Number of units, including dead ones."""
        return self.activation.numel()

    @property
    def universality(self) -> float:
        """One minus the mean selectivity of the living units; NaN without any."""
        return 1 - float(self.selectivity.nanmean())


class ImplicitReport(NamedTuple):
    """Dead and living units of all layers of a model."""

    layers: tuple[ImplicitLayer, ...]

    @property
    def num_units(self) -> int:
        """Number of units of all layers."""
        return sum(layer.num_units for layer in self.layers)

    def num_dead(self, by: DeadBy) -> int:
        """Return the number of dead units of all layers by a criterion."""
        return sum(int(layer.dead(by).sum()) for layer in self.layers)

    def sparsity(self, by: DeadBy) -> float:
        """Return the fraction of all units that are dead by a criterion."""
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
    r"""Report the hidden units that a trained model does not use, as in the `"On
    implicit filter level sparsity in Convolutional Neural Networks"
    <https://arxiv.org/abs/1811.12495>`_ paper.

    Batch normalization, ReLU and Adam with an L2 penalty switch units off for good:
    where the loss has no gradient left, Adam divides the gradient
    :math:`\lambda \theta` of the penalty by its own size, so that :math:`\theta` goes
    to 0 in steps of the learning rate for any :math:`\lambda`. With SGD, or with the
    decoupled decay of AdamW, it decays exponentially and slowly.

    A unit is dead by activation if :math:`\max_i |a_{iu}| < 10^{-12}` over all nodes in
    evaluation, and dead by scale if :math:`|\gamma_u| < 10^{-3}`. A unit that is dead
    by scale outputs :math:`\mathrm{relu}(\beta_u)` at every node, which may differ from
    0.

    Covers every batch normalization, of torch and PyG, whose output is the input of a
    ReLU, either ``nn.ReLU`` or the function. Units to which something is added in
    between, such as a residual, are left out. Costs one forward pass.

    Differs from the paper: units in place of filters, nodes in place of images. The
    report holds for the given graph; on another one, a unit that is dead by activation
    may be active.

    Args:
        model: A trained model; its training mode is restored.
        data: A graph with ``x``, or the arguments of the model as a tuple.

    Raises:
        ValueError: If no ReLU follows a batch normalisation.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.data import complete
        >>> from gsparse.prune import implicit_sparsity_report
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
            model(*model_arguments(data))
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


class _Watch(TorchFunctionMode):
    """Records which outputs of a normalization are inputs of a ReLU."""

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
