"""Gradients of a loss, and products of its Hessian with them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import Module

Loss = Callable[[], Tensor]
"""Returns the training loss of the model in its current state."""


def check_loss(loss: Loss) -> None:
    """Refuse a loss that is not a function, such as one that is already computed."""
    if not callable(loss) or isinstance(loss, Module):
        raise TypeError(
            "'loss' must be a function without arguments that returns the loss "
            f"(got {type(loss).__name__}); write loss=lambda: ..."
        )


def loss_gradients(loss: Loss, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    r"""Return the gradient :math:`g` of a loss; no ``.grad`` is changed.

    Args:
        loss: Returns the loss.
        parameters: Leaves; one that the loss does not depend on has gradient 0.

    Raises:
        ValueError: If the loss is not one finite number that depends on a parameter.

    Example:
        >>> import torch
        >>> from gsparse.prune.criteria.derivatives import loss_gradients
        >>> w = torch.tensor([1.0, 2.0])
        >>> loss_gradients(lambda: (w ** 2).sum(), {"w": w})
        {'w': tensor([2., 4.])}
    """
    with _differentiable(parameters):
        return _filled(parameters, _first(loss, parameters, twice=False))


def hessian_gradients(
    loss: Loss, parameters: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    r"""Return the product :math:`Hg` of a loss's Hessian and its gradient, the
    derivative of :math:`\langle g, \bar g \rangle` with :math:`\bar g` held fixed.

    Costs two forward and backward passes for any number of parameters.

    Args:
        loss: Returns the loss; every operation in it must be differentiable twice.
        parameters: Leaves to differentiate by.

    Raises:
        ValueError: If the loss is not one finite number that depends on a parameter, or
            cannot be differentiated twice, for example because of fused attention.

    Example:
        >>> import torch
        >>> from gsparse.prune.criteria.derivatives import hessian_gradients
        >>> w = torch.tensor([1.0, 2.0])
        >>> hessian_gradients(lambda: (w ** 3).sum(), {"w": w})
        {'w': tensor([ 18., 144.])}
    """
    with _differentiable(parameters):
        first = [g for g in _first(loss, parameters, twice=True) if g is not None]
        inner = torch.stack([(g * g.detach()).sum() for g in first]).sum()
        if not inner.requires_grad:  # a linear loss
            return {name: torch.zeros_like(p) for name, p in parameters.items()}
        try:
            second = torch.autograd.grad(
                inner, list(parameters.values()), allow_unused=True
            )
        except RuntimeError as error:
            raise ValueError(
                f"'loss' must be differentiable twice (got: {error}); attention layers "
                "are after gsparse.nn.accelerate(model, attention='reference')"
            ) from error
        return _filled(parameters, second)


def _first(
    loss: Loss, parameters: Mapping[str, Tensor], *, twice: bool
) -> tuple[Tensor | None, ...]:
    value = loss()
    if not isinstance(value, Tensor) or value.numel() != 1:
        got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"'loss' must return a tensor of one number (got {got})")
    if not bool(torch.isfinite(value)):
        raise ValueError(f"'loss' must return a finite number (got {value.item()})")
    found: tuple[Tensor | None, ...] = ()
    if value.requires_grad:
        found = torch.autograd.grad(
            value.squeeze(),
            list(parameters.values()),
            create_graph=twice,
            allow_unused=True,
        )
    if all(gradient is None for gradient in found):
        raise ValueError(
            "'loss' must depend on the weights to prune (got a loss without a gradient "
            "for any of them); it has to call the model that is pruned, with gradients"
        )
    return found


@contextmanager
def _differentiable(parameters: Mapping[str, Tensor]) -> Iterator[None]:
    """Let frozen parameters take gradients within."""
    frozen = [p for p in parameters.values() if not p.requires_grad]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        with torch.enable_grad():
            yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


def _filled(
    parameters: Mapping[str, Tensor], found: tuple[Tensor | None, ...]
) -> dict[str, Tensor]:
    pairs = zip(parameters.items(), found, strict=True)
    return {
        name: torch.zeros_like(p) if value is None else value.detach()
        for (name, p), value in pairs
    }
