"""Specification and loading of pruned standard models."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.compaction import InputSelection
from gsparse.compaction.inputs import Place
from gsparse.data.file_bytes import check_bytes
from gsparse.deploy.model_file import load_weights, read_model_file
from gsparse.deploy.tensor_file import damaged
from gsparse.prune.quantise import check_bits
from gsparse.prune.quantise_weights import quantise_weights
from gsparse.train.models import build_model

FILE = "model.safetensors"
SPECIFICATION = "specification"

_FEATURES = "has_feature"  # name of the buffer that marks the remaining features


@dataclass(frozen=True)
class Specification:
    """Architecture of a pruned standard model.

    Args:
        model: A name of :func:`~gsparse.train.build_model`.
        num_features: Number of input features.
        in_channels: Number of features that it reads.
        out_channels: Number of classes.
        options: Further arguments of its constructor.
        bits: Bits per weight, if the weights are quantised.
    """

    model: str
    num_features: int
    in_channels: int
    out_channels: int
    options: Mapping[str, Any]
    bits: int | None = None

    def build(self) -> Module:
        """Build a model of these sizes with arbitrary weights."""
        model = build_model(
            self.model, self.in_channels, self.out_channels, **self.options
        ).eval()
        if self.bits is not None:
            model = quantise_weights(model, self.bits)
        if self.in_channels < self.num_features:
            left = torch.arange(self.num_features) < self.in_channels
            model.register_buffer(_FEATURES, left)
        return model

    def as_record(self) -> dict[str, Any]:
        """Return the fields as stored in a model card."""
        return asdict(self)


def specify(
    name: str, model: Module, num_features: int, options: Mapping[str, Any]
) -> Specification:
    """Return the specification of a standard model from the shapes of its weights.

    Args:
        name: Name of the standard model, such as ``"gat"``.
        model: The model, compacted or not.
        num_features: Number of features before compaction.
        options: Arguments that it was built with.

    Raises:
        ValueError: If no standard model has its sizes.
    """
    first, last = cast(Any, model).layers[0], cast(Any, model).layers[-1]
    sizes: dict[str, Any] = {"hidden_channels": _width(first, 0)}
    if name == "gat":
        sizes = {"hidden_channels": first.out_channels, "heads": first.heads}
        sizes["output_heads"] = last.heads
    out = last.out_channels if name == "gat" else _width(last, 0)
    found = Specification(
        name, num_features, _width(first, 1), out, {**options, **sizes}
    )
    built = build_model(name, found.in_channels, out, **found.options)
    if _shapes(built) != _shapes(model):
        raise ValueError(
            f"'model' must have the sizes of a standard {name} (got {_shapes(model)})"
        )
    return found


def stored(model: Module, kept_features: Tensor, num_features: int) -> Module:
    """Add a buffer with the features that the model reads, for its file."""
    if len(kept_features) < num_features:
        left = torch.zeros(num_features, dtype=torch.bool)
        left[kept_features.cpu()] = True
        model.register_buffer(_FEATURES, left)
    return model


def whole(model: Module) -> Module:
    """Return the stored model as one that takes all features."""
    left = model._buffers.get(_FEATURES)
    if left is None:
        return model
    kept = left.nonzero().view(-1)
    return InputSelection(model, {"x": Place(0, "x")}, {"x": kept})


def load_pruned(folder: str | Path) -> tuple[Module, dict[str, Any]]:
    """Load a model that ``gsparse prune --out folder`` has written.

    Args:
        folder: Folder with ``model.safetensors``.

    Returns:
        The model, which is called as ``model(x, edge_index)`` with all features, and
        the header of its file.

    Shapes:
        - **x:** :math:`(N, F)`
        - **edge_index:** :math:`(2, E)`

    Raises:
        ImportError: If safetensors is not installed.
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is damaged, or was not written by this command.
    """
    path = Path(folder) / FILE
    header, state = read_model_file(path)
    settings = (header["card"] or {}).get("settings", {})
    if SPECIFICATION not in settings:
        raise ValueError(
            f"{path} must be a file of `gsparse prune` (got one of save_model); build "
            "the model and use load_weights"
        )
    model = _built(path, settings[SPECIFICATION], len(state))
    load_weights(path, into=model)
    return whole(model), header


def _built(path: Path, record: Any, num_tensors: int) -> Module:  # noqa: ANN401
    """Build the model of a record if it fits into memory."""
    try:
        found = Specification(**record)
        layers = found.options.get("num_layers", 2)
        if type(layers) is not int or layers > num_tensors:
            raise ValueError(f"'num_layers' is {layers!r:.40}")
        with torch.device("meta"):
            empty = replace(found, bits=None, num_features=found.in_channels).build()
        numbers = sum(it.numel() for it in empty.state_dict().values())
        if found.bits is not None:
            check_bits(found.bits)
    except Exception as error:  # whatever a constructor raises for odd arguments
        raise damaged(path, f"{SPECIFICATION}: {error}") from None
    check_bytes(4 * (numbers + found.num_features), path)
    return found.build()


def _width(layer: Any, dim: int) -> int:  # noqa: ANN401 (a layer of any kind)
    """Return the outputs or inputs of a layer: rows or columns of its first matrix."""
    return next(it.size(dim) for it in layer.state_dict().values() if it.dim() == 2)


def _shapes(model: Module) -> dict[str, list[int]]:
    return {name: list(it.shape) for name, it in model.state_dict().items()}
