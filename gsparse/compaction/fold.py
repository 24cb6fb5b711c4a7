"""Fold constant inputs of linear maps into biases."""

from collections import Counter

import torch
from torch import Tensor

from gsparse.compaction.operations import (
    Channelwise,
    LinearMap,
    Operation,
    Value,
)
from gsparse.compaction.recording import Recording


def find_targets(recording: Recording) -> None:
    r"""Give every linear map a bias that :math:`W c` can be added to, if there is one.

    It is the map's own bias, or one that is added later with only sums in between: the
    bias of ``lin_l`` for ``lin_r`` of SAGE, or the layer's bias for the residual of an
    attention layer. A weight or bias that a run uses twice is excluded, since its other
    use has other inputs. If several runs are recorded, all of them must use both the
    weight and the bias, with equal constants.
    """
    uses: Counter[tuple[int, int]] = Counter()
    for operation in recording.operations:
        for tensor in _tensors(operation):
            uses[id(tensor), operation.run] += 1
    maps: dict[int, list[LinearMap]] = {}
    for operation in recording.operations:
        if isinstance(operation, LinearMap):
            maps.setdefault(id(operation.weight), []).append(operation)
    for same in maps.values():
        targets = [
            it.bias if it.bias is not None else _added_to(it.output) for it in same
        ]
        target = targets[0]
        if target is None or any(it is not target for it in targets):
            continue
        both = [
            {run: count for (key, run), count in uses.items() if key == id(tensor)}
            for tensor in (same[0].weight, target)
        ]
        if both[0] == both[1] and set(both[0].values()) == {1}:
            constants = torch.stack([it.inputs[0].constant for it in same])
            for it in same:
                it.target = target
                it.foldable = (constants == constants[0]).all(dim=0)


def _tensors(operation: Operation) -> list[Tensor]:
    """Return the weight and the bias that an operation uses."""
    found = [operation.weight] if isinstance(operation, LinearMap) else []
    if isinstance(operation, LinearMap | Channelwise) and operation.bias is not None:
        found.append(operation.bias)
    return found


def _added_to(value: Value) -> Tensor | None:
    """Return a bias that is added to a value, possibly after sums with other values."""
    while len(value.consumers) == 1 and not value.is_output:
        (step,) = value.consumers
        if not isinstance(step, Channelwise):
            return None
        if step.bias is not None:
            return step.bias
        if not step.is_sum:
            return None
        for other in step.inputs:
            found = None if other is value else _bias_in(other)
            if found is not None:
                return found
        value = step.output
    return None


def _bias_in(value: Value) -> Tensor | None:
    """Return a bias within a value that is read by a single sum."""
    if len(value.consumers) != 1 or value.is_output:
        return None
    step = value.producer
    if isinstance(step, LinearMap):
        return step.bias
    if isinstance(step, Channelwise) and step.bias is not None:
        return step.bias
    if isinstance(step, Channelwise) and step.is_sum:
        found = [_bias_in(x) for x in step.inputs]
        return next((bias for bias in found if bias is not None), None)
    return None


@torch.no_grad()
def fold_constants(folds: list[tuple[LinearMap, Tensor]]) -> None:
    """Add the products of removed constants to the biases found by
    :func:`find_targets`.
    """
    together: dict[int, tuple[LinearMap, Tensor]] = {}
    for linear, fold in folds:
        _, other = together.get(id(linear.weight), (linear, fold))
        together[id(linear.weight)] = linear, fold | other
    for linear, fold in together.values():
        if linear.target is not None and bool(fold.any()):
            constant = linear.inputs[0].constant[fold].to(linear.matrix)
            made = linear.matrix[:, fold.to(linear.matrix.device)].double()
            linear.target += (made @ constant.double()).to(linear.target)
