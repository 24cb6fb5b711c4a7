"""Model files: safetensors with packed weights, and a model card."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.parameter import is_lazy

import gsparse
from gsparse.data.places import replacing
from gsparse.deploy.model_card import ModelCard, card_text, check_place
from gsparse.deploy.packing import Packed, can_pack, pack, unpack
from gsparse.nn.final_masks import check_final
from gsparse.nn.masked_parameters import mask_names

try:
    import safetensors.torch
except ModuleNotFoundError:
    safetensors = None  # type: ignore[assignment]

MISSING = "model files need the extra: pip install 'gsparse-gnn[export]'"
FORMAT = 1
CARD = "README.md"

_KEY = "gsparse"  # key of our metadata in the header
_VALUES, _PLACES = "#values", "#places"
_ENTRY_BYTES = 150  # approximate size of a tensor's entry in the header


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
    tensors, packed = _packed(state)
    header: dict[str, Any] = {
        "format": FORMAT,
        "version": gsparse.__version__,
        "model": type(model).__name__,
        "weights": _count(state),
        "packed": packed,
        "card": None if card is None else card.as_record(),
    }
    try:
        header["checksum"] = _checksum(header, tensors)
    except TypeError as error:
        raise TypeError(f"'card' must hold text and numbers ({error})") from None
    data = safetensors.torch.save(tensors, {_KEY: json.dumps(header)})
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    if card is not None:
        with replacing(path.with_name(CARD)) as temporary:
            temporary.write_text(card_text(card, header, path), encoding="utf-8")
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
    """Return the header and the state in a file of :func:`save_model`.

    Raises:
        ImportError: If safetensors is not installed.
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is damaged, or was not written by :func:`save_model`.
    """
    _need_safetensors()
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no model file {path}")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(metadata[_KEY]) if _KEY in metadata else None
    except (safetensors.SafetensorError, ValueError, OSError) as error:
        raise _damaged(path, error) from None
    if not isinstance(header, dict):
        raise ValueError(
            f"{path} must be a file of save_model (got another safetensors file)"
        )
    if header.get("format", 0) > FORMAT:
        raise ValueError(
            f"{path} must be of format {FORMAT} at most (got {header['format']}); "
            "install a newer gsparse"
        )
    given = header.pop("checksum", None)
    if given != _checksum(header, tensors):
        raise _damaged(path, "the checksum does not fit")
    try:
        return header, _unpacked(tensors, header["packed"])
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise _damaged(path, error) from None


def permanent_state(model: Module) -> dict[str, Tensor]:
    """Return the ``state_dict`` that a model would have after ``make_permanent()``.

    Raises:
        ValueError: If a pruner may still change it, or a layer is lazy.
        TypeError: If it contains anything but dense tensors of real numbers.
    """
    check_final(model)
    state = model.state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"the state of {type(model).__name__} must be tensors "
                f"(got {type(value).__name__} for {name!r})"
            )
        if is_lazy(value):
            raise ValueError(
                f"{name!r} must have a shape before it is saved (got a lazy layer, "
                "in_channels=-1); run the model once on its data first"
            )
        if not can_pack(value):
            raise TypeError(
                f"{name!r} must be a dense tensor of real numbers "
                f"(got {value.dtype}, {value.layout})"
            )
    masks = mask_names(state)
    found = {name: it.detach() for name, it in state.items() if name not in masks}
    for mask, name in masks.items():
        found[name] = found[name].masked_fill(~state[mask], 0.0)
    return found


def _packed(
    state: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """Return the tensors to store, and how to unpack them."""
    tensors, packed = {}, {}
    for name, value in state.items():
        found, size = pack(value), value.numel() * value.element_size()
        if found.num_bytes + _ENTRY_BYTES >= size:
            tensors[name] = value.cpu().contiguous().clone()  # no shared memory
            continue
        tensors[name + _VALUES], tensors[name + _PLACES] = found.values, found.places
        packed[name] = {"form": found.form, "shape": list(value.shape)}
    if len(tensors) != len(state) + len(packed):
        raise ValueError(f"names must not end with {_VALUES!r} or {_PLACES!r}")
    return tensors, packed


def _unpacked(
    tensors: dict[str, Tensor], packed: Mapping[str, Mapping[str, Any]]
) -> dict[str, Tensor]:
    state = dict(tensors)
    for name, how in packed.items():
        values, places = state.pop(name + _VALUES), state.pop(name + _PLACES)
        state[name] = unpack(Packed(how["form"], values, places), tuple(how["shape"]))
    return state


def _count(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Count the non-zero entries of all tensors with two dimensions or more."""
    layers = {
        name: {"shape": list(it.shape), "num_kept": int(it.count_nonzero())}
        for name, it in state.items()
        if it.dim() > 1
    }
    return {
        "num_weights": sum(state[name].numel() for name in layers),
        "num_kept": sum(layer["num_kept"] for layer in layers.values()),
        "layers": layers,
    }


def _checksum(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        it = tensors[name]
        digest.update(f"{name} {it.dtype} {list(it.shape)}".encode())
        digest.update(it.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _damaged(path: Path, why: object) -> ValueError:
    text = " ".join(str(why).split())[:200]
    return ValueError(f"{path} must be a whole file of save_model (got: {text})")


def check_target(path: Path, has_card: bool = True) -> None:
    """Check the path of a new model file before any work is done.

    Raises:
        ImportError: If safetensors is not installed.
        ValueError: If the path has another suffix, or a foreign ``README.md`` exists
            where the model card would be written.
    """
    _need_safetensors()
    if has_card:
        check_place(path.with_name(CARD))
    if path.suffix != ".safetensors":
        raise ValueError(f"'path' must end with .safetensors (got {path.name})")


def _need_safetensors() -> None:
    if safetensors is None:
        raise ImportError(MISSING)
