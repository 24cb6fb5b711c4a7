"""Replace modules of a model by others."""

from collections.abc import Mapping

from torch.nn import Module


def replace_modules(model: Module, new: Mapping[Module, Module]) -> Module:
    """Replace modules wherever a model uses them, in place.

    Args:
        model: Any module; changed in place.
        new: Maps modules to their replacements.

    Returns:
        The model, or its own replacement.
    """
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child is not None and child in new:
                parent._modules[name] = new[child]
    return new.get(model, model)
