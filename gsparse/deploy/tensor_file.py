"""Safetensors files with packed tensors, a JSON header and a checksum."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gsparse.data.file_bytes import check_bytes
from gsparse.deploy.packing import Packed, pack, unpack

try:
    import safetensors.torch
except ModuleNotFoundError:
    safetensors = None  # type: ignore[assignment]

MISSING = "model files need the extra: pip install 'gsparse-gnn[export]'"
FORMAT = 2
"""Newest format that can be read; 1 has no flags and no description of the model."""

_KEY = "gsparse"  # key of our metadata in the header
_VALUES, _PLACES = "#values", "#places"
_ENTRY_BYTES = 150  # approximate size of a tensor's entry in the header
_OBJECTS = ("packed", "flags", "card", "weights", "blueprint", "graph", "layers")
"""Entries of the header that are objects or ``null``."""
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, RuntimeError, IndexError)


class Contents(NamedTuple):
    """Header and tensors of a file."""

    header: dict[str, Any]
    tensors: dict[str, Tensor]
    flags: dict[str, Tensor]
    """Boolean tensors of which only the positions of the true entries are stored."""


def encode(
    header: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    flags: Mapping[str, Tensor] | None = None,
) -> bytes:
    """Return the bytes of a file.

    Raises:
        TypeError: If the header is not JSON.
        ValueError: If a name is reserved.
    """
    stored, packed = _packed(tensors)
    full = {**header, "packed": packed}
    if flags is not None:
        places, full["flags"] = _packed_flags(flags)
        if len({**stored, **places}) != len(stored) + len(places):
            raise ValueError(f"names must not end with {_PLACES!r}")
        stored |= places
    full["checksum"] = _checksum(full, stored)
    return safetensors.torch.save(stored, {_KEY: json.dumps(full)})


def read_tensor_file(path: Path) -> Contents:
    """Read a file of :func:`encode`; tensors are copies and the file is closed.

    Raises:
        ImportError: If safetensors is not installed.
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is damaged, too large, of a newer format, or another
            safetensors file.
    """
    need_safetensors()
    if not path.is_file():
        raise FileNotFoundError(f"there is no model file {path}")
    check_bytes(path.stat().st_size, path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Clones are aligned, and stay valid if the file is changed.
            stored = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        header = json.loads(metadata[_KEY]) if _KEY in metadata else None
    except (safetensors.SafetensorError, RecursionError, OSError, *_DAMAGE) as error:
        raise damaged(path, error) from None
    if not isinstance(header, dict):
        raise ValueError(
            f"{path} must be a model file of gsparse (got another safetensors file)"
        )
    _check_format(path, header.get("format"))
    try:
        if header.pop("checksum", None) != _checksum(header, stored):
            raise ValueError("the checksum does not fit")
        _check_objects(header)
        flags = header.get("flags") or {}
        _check_size(path, stored, header["packed"], flags)
        found = {name: _take(stored, name, how, True) for name, how in flags.items()}
        tensors = {
            name: _take(stored, name, how, False)
            for name, how in header["packed"].items()
        }
        return Contents(header, stored | tensors, found)
    except (RecursionError, *_DAMAGE) as error:
        raise damaged(path, error) from None


def damaged(path: Path, why: object) -> ValueError:
    """Return the error about a file whose contents are not as they were written."""
    text = " ".join(str(why).split())[:200]
    return ValueError(f"{path} must be a whole model file (got: {text})")


def need_safetensors() -> None:
    """Refuse to go on without safetensors.

    Raises:
        ImportError: If it is not installed.
    """
    if safetensors is None:
        raise ImportError(MISSING)


def _check_format(path: Path, found: object) -> None:
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise damaged(path, f"format {found!r}")
    if found > FORMAT:
        raise ValueError(
            f"{path} must be of format {FORMAT} at most (got {found}); install a newer "
            "gsparse"
        )


def _check_objects(header: Mapping[str, Any]) -> None:
    """Refuse entries of other types than were written."""
    settings = (header.get("card") or {}).get("settings")
    held = [*((key, header.get(key)) for key in _OBJECTS), ("settings", settings)]
    for key, value in held:
        if value is not None and not isinstance(value, dict):
            raise ValueError(f"{key!r} is {value!r:.80}")
    if not isinstance(header.get("kept_features", []), list):
        raise ValueError("'kept_features' is no list")


def _packed(
    tensors: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """Return the tensors to store, and how to unpack them."""
    stored, packed = {}, {}
    for name, value in tensors.items():
        found, size = pack(value), value.numel() * value.element_size()
        if found.num_bytes + _ENTRY_BYTES >= size:
            stored[name] = value.detach().cpu().contiguous().clone()  # nothing shared
            continue
        stored[name + _VALUES], stored[name + _PLACES] = found.values, found.places
        packed[name] = {"form": found.form, "shape": list(value.shape)}
    if len(stored) != len(tensors) + len(packed):
        raise ValueError(f"names must not end with {_VALUES!r} or {_PLACES!r}")
    return stored, packed


def _packed_flags(
    flags: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    stored, packed = {}, {}
    for name, value in flags.items():
        found = pack(value)
        stored[name + _PLACES] = found.places
        packed[name] = {
            "form": found.form,
            "shape": list(value.shape),
            "num_true": found.values.numel(),
        }
    return stored, packed


def _take(
    stored: dict[str, Tensor], name: str, how: Mapping[str, Any], is_flag: bool
) -> Tensor:
    """Remove the parts of a tensor from those stored, and return the tensor."""
    places = stored.pop(name + _PLACES)
    if is_flag:
        values = torch.ones(how["num_true"], dtype=torch.bool)
    else:
        values = stored.pop(name + _VALUES)
    return unpack(Packed(how["form"], values, places), tuple(how["shape"]))


def _check_size(
    path: Path,
    stored: Mapping[str, Tensor],
    packed: Mapping[str, Any],
    flags: Mapping[str, Any],
) -> None:
    """Refuse shapes that are none, and tensors that do not fit into memory."""
    total = 0
    for name, how in [*packed.items(), *flags.items()]:
        shape = how["shape"]
        if not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError(f"{name!r} has shape {shape!r:.80}")
        values = stored.get(name + _VALUES)
        count = 1
        for size in shape:
            count *= size
        total += count * (1 if values is None else values.element_size())
        if name in flags and not 0 <= how["num_true"] <= count:
            raise ValueError(f"{name!r} has {how['num_true']!r:.80} true entries")
        check_bytes(total, path)


def _checksum(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        it = tensors[name]
        digest.update(f"{name} {it.dtype} {list(it.shape)}".encode())
        digest.update(it.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
