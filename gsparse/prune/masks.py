"""Masks of a model's weights, and the report of what they leave."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.nn.masked_parameters import (
    mask_of,
    mask_parameter,
    masked_names,
    unmask_parameter,
)
from gsparse.nn.weight_mask import WeightMask
from gsparse.prune.targets import Selector, Target, find_targets


class LayerReport(NamedTuple):
    """Size and number of kept weights of one parameter."""

    name: str
    shape: tuple[int, ...]
    num_weights: int
    num_kept: int

    @property
    def sparsity(self) -> float:
        """Fraction of its weights that are zero."""
        return 1 - self.num_kept / max(self.num_weights, 1)


class Report(NamedTuple):
    """Size and number of kept weights of all targeted parameters."""

    layers: tuple[LayerReport, ...]
    num_parameters: int
    """Number of all parameters of the model, targeted or not."""

    @property
    def num_weights(self) -> int:
        """Number of targeted weights."""
        return sum(layer.num_weights for layer in self.layers)

    @property
    def num_kept(self) -> int:
        """Number of targeted weights that are kept."""
        return sum(layer.num_kept for layer in self.layers)

    @property
    def sparsity(self) -> float:
        """Fraction of the targeted weights that are zero."""
        return 1 - self.num_kept / max(self.num_weights, 1)

    @property
    def total_sparsity(self) -> float:
        """Fraction of all parameters of the model that pruning made zero."""
        return (self.num_weights - self.num_kept) / max(self.num_parameters, 1)

    def __str__(self) -> str:
        wide = max(len("all"), *(len(layer.name) for layer in self.layers))
        lines = [f"{'weight':{wide}}  {'shape':>14}  {'kept':>10}  sparsity"]
        for layer in self.layers:
            shape = " x ".join(map(str, layer.shape))
            lines.append(
                f"{layer.name:{wide}}  {shape:>14}  {layer.num_kept:>10,}  "
                f"{layer.sparsity:8.2%}"
            )
        lines.append(
            f"{'all':{wide}}  {'':>14}  {self.num_kept:>10,}  {self.sparsity:8.2%}"
        )
        return "\n".join(lines)


class WeightMasks:
    """Masks on parameters of a model, by parameter name.

    A layer reads zeros where the mask of a parameter is false, and the gradient is zero
    there. The parameter keeps its name, its place in the optimiser and its full values.
    The masks are buffers of the model and follow it through ``state_dict``,
    ``deepcopy``, ``.to()``, pickles and ``DistributedDataParallel``.

    Args:
        model: Any module; its layers are changed in place.
        targets: Parameters to mask; see :func:`~gsparse.prune.find_targets`.
        exclude: Parameters to leave out of ``targets``.

    Raises:
        ValueError: If nothing is left to prune, a layer is lazy, or another pruner
            masks a parameter already.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.prune import WeightMasks
        >>> model = GCN(4, 2, num_layers=2, out_channels=3)
        >>> masks = WeightMasks(model)
        >>> masks["convs.0.lin.weight"] = torch.eye(2, 4) > 0
        >>> masks.report().num_kept, int((model.convs[0].lin.weight != 0).sum())
        (2, 2)
    """

    def __init__(
        self,
        model: Module,
        targets: Iterable[Selector] | Selector | None = None,
        exclude: Iterable[Selector] | Selector = (),
    ) -> None:
        self.model = model
        self.targets = {it.name: it for it in find_targets(model, targets, exclude)}
        done: list[Target] = []
        try:
            for target in self.targets.values():
                mask_parameter(target.owner, target.attribute)
                done.append(target)
        except ValueError as error:
            for target in done:
                unmask_parameter(target.owner, target.attribute)
            name = list(self.targets)[len(done)]
            raise ValueError(f"{name}: {error}") from None

    def __getitem__(self, name: str) -> Tensor:
        """Return the mask of a parameter; true for kept weights."""
        return self.module(name).keep

    def __setitem__(self, name: str, keep: Tensor) -> None:
        mask = self.module(name)
        if keep.dtype != torch.bool or keep.shape != mask.keep.shape:
            raise ValueError(
                f"the mask of {name!r} must be bool of shape {list(mask.keep.shape)} "
                f"(got {keep.dtype}, {list(keep.shape)})"
            )
        with torch.no_grad():
            mask.keep.copy_(keep)

    def module(self, name: str) -> WeightMask:
        """Return the module that masks a parameter."""
        if name not in self.targets:
            raise KeyError(
                f"{name!r} has no mask; those with one: {list(self.targets)}"
            )
        target = self.targets[name]
        if target.attribute not in masked_names(target.owner):
            raise RuntimeError(
                "the masks are gone: undo() or make_permanent() was called"
            )
        return mask_of(target.owner, target.attribute)

    @property
    def gone(self) -> bool:
        """Whether :meth:`undo` or :meth:`make_permanent` removed the masks."""
        return not all(
            it.attribute in masked_names(it.owner) for it in self.targets.values()
        )

    def parameters(self) -> dict[str, Tensor]:
        """Return the parameters with their full values: the optimiser's leaves."""
        return {name: target.parameter for name, target in self.targets.items()}

    def weights(self) -> dict[str, Tensor]:
        """Return the full values of the parameters without gradients."""
        return {name: it.detach() for name, it in self.parameters().items()}

    def set(self, keep: Mapping[str, Tensor]) -> None:
        """Set several masks, or none of them if one does not fit."""
        before = {name: self[name].clone() for name in keep}
        try:
            for name, mask in keep.items():
                self[name] = mask
        except ValueError:
            for name, mask in before.items():
                self[name] = mask
            raise

    def soften(
        self, soft: Mapping[str, Tensor | Callable[[Tensor], Tensor]] | None
    ) -> None:
        """Replace masks by weights that multiply the parameters, or by functions of the
        parameters; ``None`` restores the masks.
        """
        for name in self.targets:
            self.module(name).soft = None if soft is None else soft[name]

    def report(self) -> Report:
        """Count the kept weights."""
        layers = [
            LayerReport(name, tuple(keep.shape), keep.numel(), int(keep.sum()))
            for name in self.targets
            for keep in [self[name]]
        ]
        return Report(tuple(layers), sum(p.numel() for p in self.model.parameters()))

    def undo(self) -> None:
        """Remove the masks; every weight has its full value again."""
        for target in self.targets.values():
            if target.attribute in masked_names(target.owner):
                unmask_parameter(target.owner, target.attribute)

    def make_permanent(self) -> None:
        """Write the zeros into the parameters and remove the masks.

        The layers are plain again, and the model's ``state_dict`` loads into a model
        that was never pruned.
        """
        for name, target in self.targets.items():
            keep = self[name]
            with torch.no_grad():
                target.parameter.masked_fill_(~keep, 0.0)
            unmask_parameter(target.owner, target.attribute)
