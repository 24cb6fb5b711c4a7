"""Check that the masks of a model are final, and write their zeros into the weights."""

import copy
from typing import TypeVar

import torch
from torch.nn import Module

from gsparse.nn.masked_parameters import mask_of, masked_names, unmask_parameter

M = TypeVar("M", bound=Module)


def check_final(model: Module) -> None:
    """Refuse a model whose masks a pruner may still change."""
    for prefix, module in model.named_modules():
        for name in masked_names(module):
            mask = mask_of(module, name)
            if mask.soft is not None or mask.unfinished:
                mover = "in training"
                if mask.pruner is not None:
                    mover = f"that {mask.pruner!r} still moves"
                raise ValueError(
                    f"the mask of {f'{prefix}.{name}'.lstrip('.')!r} must be final "
                    f"(got one {mover}); call the pruner's finalize() first"
                )


@torch.no_grad()
def unmasked_copy(model: M) -> M:
    """Copy a model, write the zeros of its masks and remove the masks."""
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        for name in masked_names(module):
            parameter = module._parameters[name]
            parameter.masked_fill_(~mask_of(module, name).keep, 0.0)  # type: ignore[union-attr]
            unmask_parameter(module, name)
    return model
