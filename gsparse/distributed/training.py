"""Train one model with several processes, each on its own nodes."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

# ruff: noqa: ANN401 (states hold values of any kind)

_FAILED = "failed"
_SCALARS = bool | int | float | complex | str | bytes | np.generic | torch.dtype


def shared_mean(values: Tensor, group: dist.ProcessGroup | None = None) -> Tensor:
    """Return the loss of this process, so that averaged gradients are those of the mean
    over all values of all processes.

    ``DistributedDataParallel`` averages gradients over processes. The mean of each
    process would give nodes of small shares a larger weight, so this function returns
    the sum of the values here, times the number of processes, divided by the number of
    values everywhere. The average of the results is the mean of all values.

    Every process of the group calls it in every step, one without values too: an empty
    slice of the model's output, such as ``out[:0]``, has zero gradients.

    Example:
        In two processes, with ``model = DistributedDataParallel(...)``::

            out = model(batch.x, batch.edge_index)[: batch.batch_size]
            target = batch.y[: batch.batch_size]
            shared_mean(cross_entropy(out, target, reduction="none")).backward()

    Args:
        values: Losses of the nodes of this process, of any number.
        group: The processes; by default all.

    Shapes:
        - **values:** :math:`(n,)`
        - **output:** scalar

    Raises:
        RuntimeError: If there is no process group.
        ValueError: If the values are not a vector, or no process has one.
    """
    _check_group("shared_mean")
    if values.dim() != 1:
        raise ValueError(
            "'values' must have one loss per node, as with reduction='none' (got shape "
            f"{list(values.shape)})"
        )
    count = torch.tensor([values.numel()], device=values.device)
    dist.all_reduce(count, group=group)
    if not count:
        raise ValueError("'values' must hold a loss in some process (got none)")
    return values.sum() * (dist.get_world_size(group) / int(count))


def broadcast_state(*objects: Any, group: dist.ProcessGroup | None = None) -> None:
    """Copy the state of models and pruners from the first process to all others.

    Masks drawn at random and pruners whose importances come from the nodes of one
    process differ between processes, and ``DistributedDataParallel`` copies the
    parameters and buffers of a model only. Call this after a model has been pruned or
    wrapped, before it is passed to ``DistributedDataParallel``, and after each step of
    a pruner that reads gradients or draws random numbers. The states are compared
    afterwards, as by :func:`check_same`.

    Args:
        *objects: Objects with ``state_dict()`` and ``load_state_dict()``, in the same
            order in all processes: models, pruners, optimisers.
        group: The processes; by default all.

    Raises:
        RuntimeError: If there is no process group, or an object of some process does
            not take the state or still has another one.
        TypeError: If an object has no state.
    """
    _check_group("broadcast_state")
    for it in objects:
        if not hasattr(it, "state_dict") or not hasattr(it, "load_state_dict"):
            raise TypeError(
                "'objects' must have state_dict() and load_state_dict() (got "
                f"{type(it).__name__})"
            )
    box = [[_on_cpu(it.state_dict()) for it in objects]]
    dist.broadcast_object_list(box, group_src=0, group=group)
    failure = None
    if dist.get_rank(group) != 0:
        try:
            for it, state in zip(objects, box[0], strict=True):
                it.load_state_dict(state)
        except Exception as error:  # raised below, in all processes
            failure = f"{type(error).__name__}: {error}"
    for rank, text in enumerate(_gather(failure, group)):
        if text is not None:
            raise RuntimeError(
                f"process {rank} cannot take the state of the first one ({text}); make "
                "the same objects in all processes"
            )
    check_same(*objects, group=group)


def check_same(*objects: Any, group: dist.ProcessGroup | None = None) -> None:
    """Refuse to go on if the state of an object differs between processes.

    Checksums of all tensors and numbers are compared in every bit. Use it once before
    training for the model, its masks, its pruner, and the graph that each process has
    made with its own copy of a transform.

    Args:
        *objects: Models and pruners, graphs (``Data``), tensors or numbers, in the same
            order in all processes.
        group: The processes; by default all.

    Raises:
        RuntimeError: In all processes, if there is no process group or a value differs;
            names the first one.
        TypeError: If a state holds something else than tensors, arrays, numbers and
            text.
    """
    _check_group("check_same")
    try:
        own = {
            f"{type(it).__name__}{'' if len(objects) == 1 else f' {i}'}{name}": digest
            for i, it in enumerate(objects)
            for name, digest in _digests(_state(it))
        }
    except TypeError as error:  # raised below, in all processes
        own = {_FAILED: str(error)}
    found = _gather(own, group)
    for other in found:
        if _FAILED in other:
            raise TypeError(other[_FAILED])
    for name in found[0]:
        for rank, other in enumerate(found):
            if other.get(name) != found[0][name]:
                raise RuntimeError(_difference(name, rank))
    for rank, other in enumerate(found):
        if len(other) > len(found[0]):
            name = next(it for it in other if it not in found[0])
            raise RuntimeError(_difference(name, rank))


def _difference(name: str, rank: int) -> str:
    return (
        f"{name} must be the same in all processes (it differs between the first "
        f"process and process {rank}); give all of them the same seed, or call "
        "broadcast_state()"
    )


def _check_group(name: str) -> None:
    if not dist.is_available() or not dist.is_initialized():
        raise RuntimeError(
            f"torch.distributed must be initialized for {name}(); call "
            "init_process_group() in every process first"
        )


def _gather(value: Any, group: dist.ProcessGroup | None) -> list[Any]:
    found: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(found, value, group=group)
    return found


def _state(it: Any) -> Any:
    if hasattr(it, "state_dict"):
        return it.state_dict()
    return it.to_dict() if hasattr(it, "to_dict") else it


def _on_cpu(state: Any) -> Any:
    if isinstance(state, Tensor):
        return state.detach().cpu()
    if isinstance(state, Mapping):
        return {key: _on_cpu(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_on_cpu(value) for value in state)
    return state


def _digests(state: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the name and the checksum of every value of a state."""
    if isinstance(state, Mapping):
        for key, value in state.items():
            yield from _digests(value, f"{name}[{key!r}]")
    elif isinstance(state, list | tuple):
        for i, value in enumerate(state):
            yield from _digests(value, f"{name}[{i}]")
    elif isinstance(state, np.ndarray):
        yield from _digests(torch.from_numpy(np.ascontiguousarray(state)), name)
    elif hasattr(state, "to_csr"):  # gsparse.train.SparseFeatures
        yield from _digests(state.to_csr(), name)
    elif isinstance(state, Tensor) and state.layout == torch.sparse_csr:
        csr = [state.crow_indices(), state.col_indices(), state.values()]
        yield from _digests([list(state.shape), *csr], name)
    elif isinstance(state, Tensor):
        if state.layout != torch.strided:
            raise TypeError(f"{name} must be dense or CSR (got {state.layout})")
        flat = state.detach().cpu().contiguous().view(-1)
        content = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
        total = hashlib.sha256(f"{state.dtype} {list(state.shape)} ".encode())
        total.update(content)
        yield name, total.hexdigest()
    elif state is None or isinstance(state, _SCALARS):
        yield name, repr(state)
    else:
        raise TypeError(
            f"{name or 'an object'} must be a tensor, an array, a number or text (got "
            f"{type(state).__name__})"
        )
