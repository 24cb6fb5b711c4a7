"""Model files: safetensors with what is left of the weights, and a model card."""

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

_KEY = "gsparse"  # of our text in the header
_VALUES, _PLACES = "#values", "#places"
_ENTRY_BYTES = 150  # what one more tensor costs in the header, about


def save_model(model: Module, path: str | Path, card: ModelCard | None = None) -> int:
    r"""Write the state of a model to a safetensors file, and a model card beside it.

    What is masked is written as zero. A tensor of mostly zeros is stored as its values
    and their places, in the shortest of three forms
    (:mod:`gsparse.deploy.packing`), where that is smaller; no bit of it is lost.
    Codes of :class:`~gsparse.nn.QuantisedLinear` are packed alike.

    The header is JSON: version of gsparse, what is left of the weights, the card, and a
    checksum of all. No pickle, so that nothing is run when a file is read.

    Args:
        model: With masks or without; not changed.
        path: Ends with ``.safetensors``; the folder must be there. A file of that name
            is replaced at once or, if anything fails, not at all.
        card: What is known of the model; also written as ``README.md`` in the folder
            of the file. ``None`` writes no page.

    Returns:
        The size of the file in bytes.

    Raises:
        ImportError: If safetensors is not installed.
        ValueError: If the path has another suffix, a pruner is in the middle of
            training the model, a layer is lazy, or a ``README.md`` of others is there.
        TypeError: If the state holds more than dense tensors of real numbers, or a
            setting of the card is no JSON.

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
    """Read a file of :func:`save_model` into a model.

    Args:
        path: The file.
        into: A model of the layers and sizes that the saved one had, without masks;
            unchanged if anything is raised.

    Returns:
        The header of the file.

    Raises:
        ImportError: If safetensors is not installed.
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged or of others, or its weights are not those
            of the model.
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
            f"'into' must have the layers and sizes of the model that was saved "
            f"({text})"
        ) from None
    return header


def read_model_file(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header and the state in a file of :func:`save_model`.

    Raises:
        ImportError: If safetensors is not installed.
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, or not of :func:`save_model`.
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
            f"{path} must be a file of save_model (got a safetensors file of others)"
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
    """The ``state_dict`` that a model would have after ``make_permanent()``.

    Raises:
        ValueError: If a pruner is in the middle of training it, or a layer is lazy.
        TypeError: If it holds more than dense tensors of real numbers.
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
    """What is stored, and how to make of it what was."""
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
    """What is left of everything that has two dimensions or more."""
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
    """Refuse a place to save at, before any work is done for it.

    Raises:
        ImportError: If safetensors is not installed.
        ValueError: If the path has another suffix, or a ``README.md`` of others is
            where the model card would be.
    """
    _need_safetensors()
    if has_card:
        check_place(path.with_name(CARD))
    if path.suffix != ".safetensors":
        raise ValueError(f"'path' must end with .safetensors (got {path.name})")


def _need_safetensors() -> None:
    if safetensors is None:
        raise ImportError(MISSING)
