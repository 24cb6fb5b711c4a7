"""Tell when torch's own operations must run in place of a kernel."""

from typing import Any

import torch
from torch.autograd import forward_ad

# A kernel reads memory: it has no rule for tangents and for batches of torch.func.


def is_recorded() -> bool:
    """Whether operations are recorded to be replayed on other inputs.

    ``torch.jit.trace``, ``torch.export`` and ``make_fx`` would keep the structure of
    the example's graph as a constant.
    """
    if torch.jit.is_tracing():
        return True
    if torch.compiler.is_compiling():
        return torch.compiler.is_exporting()
    core: Any = torch._C
    return core._get_dispatch_mode(core._TorchDispatchModeKey.PROXY) is not None


def is_forward_mode() -> bool:
    """Whether tangents may be propagated (``forward_ad``, ``jvp``, ``jacfwd``)."""
    return forward_ad._current_level >= 0


def is_transformed() -> bool:
    """Whether forward mode or a transform of ``torch.func`` is active."""
    if is_forward_mode():
        return True
    core: Any = torch._C
    return not torch.compiler.is_compiling() and core._are_functorch_transforms_active()


def is_beyond_grad() -> bool:
    """The same, unless the transform is a single ``torch.func.grad`` or ``vjp``."""
    if is_forward_mode():
        return True
    if not is_transformed():
        return False
    core: Any = torch._C._functorch
    levels = [level.key() for level in core.get_interpreter_stack()]
    return levels != [core.TransformType.Grad]


def refuse_transforms(name: str) -> None:
    """Raise where a kernel cannot propagate tangents or batches.

    Raises:
        RuntimeError: In forward mode, and within ``vmap`` or nested transforms.
    """
    if is_beyond_grad():
        raise RuntimeError(
            f"{name} has no forward mode and no batching rule (torch.func.jvp, "
            "jacfwd, vmap, batched gradients): use fused=False or "
            "attention='reference'"
        )
