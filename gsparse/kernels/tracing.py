"""Predicates that tell when torch's own operations must run in place of a kernel.

A kernel reads memory; it has no rule for tangents and batches of ``torch.func``. Torch
has no public predicates for these states, so private ones are used; CONTRIBUTING.md
lists the versions of torch they were tested with. Where torch lacks one of them, the
answer is unknown (None): kernels then run only as operators of torch, which is slower,
and torch itself refuses what they cannot do.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

_CORE: Any = torch._C


def has_predicates(core: Any = _CORE) -> bool:  # noqa: ANN401
    """Whether torch has all private predicates that are used here."""
    try:
        answers = (
            core._are_functorch_transforms_active(),
            core._len_torch_function_stack(),
            core._len_torch_dispatch_stack(),
            forward_ad._current_level,
        )
        core._get_dispatch_mode(core._TorchDispatchModeKey.PROXY)
        has_levels = callable(core._functorch.get_interpreter_stack)
        has_levels = has_levels and hasattr(core._functorch.TransformType, "Grad")
        has_levels = has_levels and callable(
            core._functorch.is_functorch_wrapped_tensor
        )
    except (AttributeError, TypeError):
        return False
    return has_levels and all(isinstance(answer, int) for answer in answers)


HAS_PREDICATES = has_predicates()


def is_recorded() -> bool:
    """Whether operations are recorded to be replayed on other inputs; True if unknown.

    ``torch.jit.trace``, ``torch.export`` and ``make_fx`` would keep the structure of
    the example's graph as a constant.
    """
    if torch.jit.is_tracing() or not HAS_PREDICATES:
        return True
    if torch.compiler.is_compiling():
        return torch.compiler.is_exporting()
    return _CORE._get_dispatch_mode(_CORE._TorchDispatchModeKey.PROXY) is not None


def is_observed() -> bool:
    """Whether a tracer or a mode of torch sees the operations; True if unknown."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or not HAS_PREDICATES:
        return True
    return bool(_CORE._len_torch_function_stack() or _CORE._len_torch_dispatch_stack())


def is_forward_mode() -> bool:
    """Whether tangents may be propagated (``forward_ad``, ``jvp``, ``jacfwd``)."""
    return forward_ad._current_level >= 0


def is_transformed() -> bool | None:
    """Whether forward mode or a transform of ``torch.func`` is active."""
    if not HAS_PREDICATES:
        return None
    if is_forward_mode():
        return True
    return (
        not torch.compiler.is_compiling() and _CORE._are_functorch_transforms_active()
    )


def is_beyond_grad() -> bool | None:
    """Whether a transform other than one ``torch.func.grad`` or ``vjp`` is active."""
    transformed = is_transformed()
    if not transformed or is_forward_mode():
        return transformed
    core = _CORE._functorch
    levels = [level.key() for level in core.get_interpreter_stack()]
    return levels != [core.TransformType.Grad]


def refuse_transforms(name: str) -> None:
    """Raise an error where a kernel cannot propagate tangents or batches.

    Raises:
        RuntimeError: In forward mode, and within ``vmap`` or nested transforms.
    """
    if is_beyond_grad():
        raise RuntimeError(
            f"{name} has no forward mode and no batching rule (torch.func.jvp, "
            "jacfwd, vmap, batched gradients): use fused=False or "
            "attention='reference'"
        )


def outside_transforms(
    tensors: Iterable[Tensor | None],
) -> AbstractContextManager[Any]:
    """Return a context without the transforms of ``torch.func`` around it.

    What is computed there from plain tensors, such as the structure of a graph, is
    plain as well. Where a transform concerns one of the tensors, nothing is changed.
    """
    if not HAS_PREDICATES or torch.compiler.is_compiling():
        return nullcontext()
    if not _CORE._are_functorch_transforms_active():
        return nullcontext()
    is_wrapped = _CORE._functorch.is_functorch_wrapped_tensor
    if any(it is not None and is_wrapped(it) for it in tensors):
        return nullcontext()
    # Local: torch loads its Python part of transforms with the first one.
    from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

    return temporarily_clear_interpreter_stack()
