"""Model files: safetensors with packed weights, and a model card."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import Module
from torch.nn.parameter import is_lazy

import gsparse
from gsparse.data.places import replacing
from gsparse.deploy.model_card import ModelCard, card_text, check_place
from gsparse.deploy.model_state import count_weights, permanent_state
from gsparse.deploy.tensor_file import encode, need_safetensors, read_tensor_file
from gsparse.nn.masked_parameters import mask_names

CARD = "README.md"
OTHER = "#"
"""First letter of the names of tensors that are no part of a model's state."""


def save_model(model: Module, path: str | Path, card: ModelCard | None = None) -> int:
    r"""Write the state of a model to a safetensors file, and a model card next to it.

    Masked weights are written as zeros. If it is smaller, a tensor is stored as its
    non-zero values and their positions, in the shortest of three lossless forms
    (:mod:`gsparse.deploy.packing`). Codes of :class:`~gsparse.nn.QuantisedLinear` are
    packed in the same way.

    The header is JSON: the version of gsparse, the numbers of stored weights, the card,
    and a checksum of everything. No pickle is used, so that reading a file runs no
    code.

    Args:
        model: A model with masks or without; not changed.
        path: Path that ends with ``.safetensors``, in an existing folder. An existing
            file is replaced atomically; it stays unchanged on an error.
        card: Description of the model; also written as ``README.md`` in the folder of
            the file. ``None`` writes no page.

    Returns:
        The size of the file in bytes.

    Raises:
        ImportError: If safetensors is not installed.
        ValueError: If the path has another suffix, a pruner may still change the model,
            a layer is lazy, or a foreign ``README.md`` exists.
        TypeError: If the state contains anything but dense tensors of real numbers, or
            a setting of the card is not JSON.

    Example:
        >>> import os, tempfile
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.prune import Pruner, RandomWeight
        >>> from gsparse.deploy import load_weights, save_model
        >>> model = GCN(500, 16, num_layers=2, out_channels=3)
        >>> pruner = Pruner(model, RandomWeight(), sparsity=0.95, seed=41203)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.safetensors")
        ...     size = save_model(model, path)
        ...     other = GCN(500, 16, num_layers=2, out_channels=3)
        ...     header = load_weights(path, into=other)
        >>> other.convs[0].lin.weight.equal(model.convs[0].lin.weight)
        True
        >>> header["weights"]["num_kept"], 4 * 500 * 16 // size
        (448, 10)
    """
    path = Path(path)
    check_target(path, has_card=card is not None)
    state = permanent_state(model)
    header = {
        "format": 1,
        "version": gsparse.__version__,
        "model": type(model).__name__,
        "weights": count_weights(state),
        "card": None if card is None else card.as_record(),
    }
    data = encoded(header, state)
    with writing(path, data, header, card):
        pass
    return len(data)


def load_weights(path: str | Path, into: Module) -> dict[str, Any]:
    """Load a file of :func:`save_model` into a model.

    Args:
        path: The file.
        into: A model with the layers and sizes of the saved one, without masks; it is
            not changed on an error. Build a compacted model with its smaller sizes, and
            repeat ``quantise_weights`` with the same ``bits``.

    Returns:
        The header of the file.

    Raises:
        ImportError: If safetensors is not installed.
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is damaged or has another format, or its weights do not
            fit the model.
    """
    header, state = read_model_file(path)
    own = into.state_dict()
    masked = list(mask_names(own))
    if masked:
        raise ValueError(
            f"'into' must have no masks (got {masked[0]!r}); call the pruner's undo() "
            "or make_permanent() first"
        )
    for name, value in state.items():
        if name in own and not is_lazy(own[name]) and own[name].dtype != value.dtype:
            raise ValueError(
                f"{name!r} of 'into' must be {value.dtype}, as in the file "
                f"(got {own[name].dtype})"
            )
    before = {k: v.detach().clone() for k, v in own.items() if not is_lazy(v)}
    try:
        into.load_state_dict(state)
    except Exception as error:
        into.load_state_dict(before, strict=False)
        text = " ".join(str(error).split())[:300]
        raise ValueError(
            "'into' must have the layers and sizes of the saved model, after the same "
            f"compact(), to_sparse() or quantise_weights() (got: {text})"
        ) from None
    return header


def read_model_file(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the header of a model file, and its weights with zeros for masked ones.

    Raises:
        ImportError: If safetensors is not installed.
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is damaged, or was not written by gsparse.
    """
    header, tensors, _ = read_tensor_file(Path(path))
    return header, {
        name: value for name, value in tensors.items() if not name.startswith(OTHER)
    }


def encoded(
    header: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    flags: Mapping[str, Tensor] | None = None,
) -> bytes:
    """Return the bytes of a model file.

    Raises:
        TypeError: If the header is not JSON.
    """
    try:
        return encode(header, tensors, flags)
    except TypeError as error:
        raise TypeError(f"'card' must hold text and numbers ({error})") from None


@contextmanager
def writing(
    path: Path, data: bytes, header: Mapping[str, Any], card: ModelCard | None
) -> Iterator[Path]:
    """Write a model file and its card, if there is one; yield the temporary file.

    An error in the block discards both, and older files stay as they are.
    """
    with ExitStack() as stack:
        temporary = stack.enter_context(replacing(path))
        temporary.write_bytes(data)
        if card is not None:
            page = stack.enter_context(replacing(path.with_name(CARD)))
            text = card_text(card, header, path.name, len(data))
            page.write_text(text, encoding="utf-8")
        yield temporary


def check_target(path: Path, has_card: bool = True) -> None:
    """Check the path of a new model file before any work is done.

    Raises:
        ImportError: If safetensors is not installed.
        ValueError: If the path has another suffix, or a foreign ``README.md`` exists
            where the model card would be written.
    """
    need_safetensors()
    if has_card:
        check_place(path.with_name(CARD))
    if path.suffix != ".safetensors":
        raise ValueError(f"'path' must end with .safetensors (got {path.name})")
