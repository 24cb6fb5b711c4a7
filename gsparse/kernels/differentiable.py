"""Kernels as torch operators that cost little when nobody traces them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import Parameter

from gsparse.kernels.tracing import is_beyond_grad, refuse_transforms

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
    """A custom operator of the CPU with a derivative.

    A compiler, an export, a mode or a subclass of tensors sees a custom operator of
    torch. All others go by an autograd function of the same parts: forward and backward
    then take 25 microseconds on top of the kernel, where an operator that takes lists
    takes 105 (a trial, one thread).

    Args:
        name: With a namespace, such as ``"gsparse::spmm"``.
        body: Runs the kernel; its annotations are the operator's schema.
        fake: Makes outputs of the right shape.
        save: Keeps in a context what the derivative needs.
        backward: From the context and the outputs' gradients to those of the inputs.
        reference: The same in torch's operations, for forward mode and ``vmap``;
            without it they are refused.

    Returns:
        A function that runs it; its attribute ``op`` is the operator.
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
        core: Any = torch._C
        transformed = core._are_functorch_transforms_active()
        return (Transformed if transformed else Direct).apply(*arguments)

    call.op = op  # type: ignore[attr-defined]
    return call


def operator(
    name: str,
    body: Callable[..., Any],
    *,
    fake: Callable[..., Any],
    reference: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """A custom operator of the CPU without a derivative, such as a derivative is.

    Args:
        name: With a namespace.
        body: Runs the kernel; its annotations are the operator's schema.
        fake: Makes outputs of the right shape.
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
    """The reference of an operator, which must have one."""
    if reference is None:
        refuse_transforms(name)
    assert reference is not None
    return reference


def _traced(arguments: tuple[Any, ...]) -> bool:
    """Whether someone wants to see the operator."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return True
    core: Any = torch._C
    if core._len_torch_function_stack() or core._len_torch_dispatch_stack():
        return True
    return any(isinstance(it, Tensor) and type(it) not in _PLAIN for it in arguments)


def refuse_second_derivative() -> None:
    """Called in a derivative that has none itself.

    Raises:
        RuntimeError: If a derivative of the derivative will be asked for.
    """
    if torch.is_grad_enabled():
        raise RuntimeError(
            "the fused kernels of edge masks have no second derivative: use "
            "attention='reference' where gradients of gradients are needed"
        )
