"""Register the derivatives of the attention operators."""

from typing import Any

from torch import Tensor

from gsparse.kernels.tracing import is_transformed

# ruff: noqa: ANN401 (operators and autograd contexts)


def register_derivative(forward: Any, backward: Any, num_inputs: int) -> None:
    """Make one attention operator the derivative of another.

    Args:
        forward: Takes the structure, ``num_inputs`` tensors, the fourth argument being
            the weights of the edges, the seed, slope, dropout, and further settings.
        backward: Takes the same up to the seed, the outputs, the gradient, slope,
            dropout, and whether the weights need a gradient.
        num_inputs: Number of differentiable tensors.
    """

    def save(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
        structure, *tensors = inputs[: num_inputs + 2]
        settings = inputs[num_inputs + 2 :]
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*structure, *tensors, *output)
        ctx.settings, ctx.rest = settings[:2], [None] * (1 + len(settings))
        ctx.count = len(structure)

    def derive(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
        count, grad, needed = ctx.count, grads[0], ctx.needs_input_grad
        none: list[None] = [None] * count
        if grad is None:
            return none, *[None] * num_inputs, *ctx.rest
        refuse_batches()
        saved = ctx.saved_tensors
        tensors = saved[count : count + num_inputs + 1]
        outputs = list(saved[count + num_inputs + 1 :])
        settings = grad, *ctx.settings, bool(needed[4])
        made = backward(list(saved[:count]), *tensors, outputs, *settings)
        wanted = zip(made, needed[1 : num_inputs + 1], strict=True)
        return none, *(found if need else None for found, need in wanted), *ctx.rest

    forward.register_autograd(derive, setup_context=save)
    backward.register_autograd(refuse_second_derivative)


def refuse_batches() -> None:
    """Raise an error in a derivative that is asked for several gradients at a time.

    Raises:
        RuntimeError: Within a transform of ``torch.func``, or for batched gradients.
    """
    if is_transformed():
        raise RuntimeError(
            "fused attention takes one gradient at a time: use "
            "attention='reference' (or gat_attention_reference) for batched gradients"
        )


def refuse_second_derivative(ctx: Any, grads: list[Tensor]) -> None:
    """Raise an error: the kernels have a first derivative only."""
    raise RuntimeError(
        "fused attention has no second derivative: use attention='reference' "
        "(or gat_attention_reference) where gradients of gradients are needed"
    )
