"""Register kernels as torch operators with little overhead in eager mode."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import Parameter

from gsparse.kernels.tracing import (
    is_beyond_grad,
    is_observed,
    is_transformed,
    refuse_transforms,
)

# ruff: noqa: ANN401 (operators take and return anything)

_PLAIN = (Tensor, Parameter)


def differentiable(
    name: str,
    body: Callable[..., Any],
    *,
    fake: Callable[..., Any],
    save: Callable[..., Any],
    backward: Callable[..., tuple[Any, ...]],
    reference: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """Register a CPU operator that has a derivative.

    A compiler, an export, a mode or a subclass of tensors sees a custom operator of
    torch. Other calls use an autograd function made of the same parts: forward and
    backward then add 25 microseconds to the kernel, where a custom operator with lists
    as arguments adds 105 (measured with one thread).

    Args:
        name: Name with a namespace, such as ``"gsparse::spmm"``.
        body: Runs the kernel; its annotations are the schema of the operator.
        fake: Returns empty outputs of the right shape.
        save: Saves in a context what the derivative needs.
        backward: Computes the gradients of the inputs from the context and the
            gradients of the outputs.
        reference: The same function in torch's operations, for forward mode and
            ``vmap``, which are refused without it.

    Returns:
        A function that runs the operator; its attribute ``op`` is the operator.
    """
    op = torch.library.custom_op(name, body, mutates_args=(), device_types="cpu")
    op.register_fake(fake)
    op.register_autograd(backward, setup_context=save)

    def derive(ctx: Any, *grads: Any) -> Any:
        found = backward(ctx, *grads)
        return tuple(None if isinstance(it, list) else it for it in found)

    class Direct(Function):
        @staticmethod
        def forward(ctx: Any, *arguments: Any) -> Any:
            output = body(*arguments)
            save(ctx, arguments, output)
            return output

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return derive(ctx, *grads)

    class Transformed(Function):  # torch.func asks for this form, which takes longer
        forward = staticmethod(body)
        setup_context = staticmethod(save)
        backward = staticmethod(derive)

    def call(*arguments: Any) -> Any:
        if is_beyond_grad():
            return _referred(name, reference)(*arguments)
        if _traced(arguments):
            return op(*arguments)
        return (Transformed if is_transformed() else Direct).apply(*arguments)

    call.op = op  # type: ignore[attr-defined]
    return call


def operator(
    name: str,
    body: Callable[..., Any],
    *,
    fake: Callable[..., Any],
    reference: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """Register a CPU operator that has no derivative (for example a backward pass).

    Args:
        name: Name with a namespace.
        body: Runs the kernel; its annotations are the schema of the operator.
        fake: Returns empty outputs of the right shape.
        reference: As for :func:`differentiable`.
    """
    op = torch.library.custom_op(name, body, mutates_args=(), device_types="cpu")
    op.register_fake(fake)

    def call(*arguments: Any) -> Any:
        if is_beyond_grad():
            return _referred(name, reference)(*arguments)
        return (op if _traced(arguments) else body)(*arguments)

    call.op = op  # type: ignore[attr-defined]
    return call


def _referred(name: str, reference: Callable[..., Any] | None) -> Callable[..., Any]:
    """Return the reference of an operator; raise an error if it has none."""
    if reference is None:
        refuse_transforms(name)
    assert reference is not None
    return reference


def _traced(arguments: tuple[Any, ...]) -> bool:
    """Whether a tracer, a mode or a subclass of tensors must see the operator."""
    return is_observed() or any(
        isinstance(it, Tensor) and type(it) not in _PLAIN for it in arguments
    )


def refuse_second_derivative() -> None:
    """Raise an error in a derivative that has no derivative itself.

    Raises:
        RuntimeError: If a derivative of the derivative will be asked for.
    """
    if torch.is_grad_enabled():
        raise RuntimeError(
            "the fused kernels of edge masks have no second derivative: use "
            "attention='reference' where gradients of gradients are needed"
        )
