"""Cache results computed from tensors while those live unchanged."""

import hashlib
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from gsparse.kernels.tracing import outside_transforms

V = TypeVar("V")


class _Entry(NamedTuple):
    value: Any
    references: "tuple[weakref.ref[Tensor] | None, ...]"
    versions: tuple[int | None, ...]

    def fits(self, tensors: tuple[Tensor | None, ...]) -> bool:
        return self.versions == tuple(map(_version, tensors)) and all(
            reference is None or reference() is tensor
            for reference, tensor in zip(self.references, tensors, strict=True)
        )


class TensorCache(Generic[V]):
    """Cache whose values are valid for given tensors and their versions.

    Tensors are referenced weakly. After a change in place the value is built again,
    and the death of a tensor frees its value. Inference tensors have no version
    counter and are recognised by a hash of their content. No counter notices writes
    through ``.data`` or shared NumPy memory: call :meth:`clear` after them. Copies and
    pickles of a cache are empty.

    Args:
        max_entries: Maximum number of values; the least recently used is dropped first.
    """

    def __init__(self, max_entries: int = 16) -> None:
        self.max_entries = max_entries
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()

    def get(
        self,
        tensors: tuple[Tensor | None, ...],
        settings: Hashable,
        build: Callable[[], V],
    ) -> V:
        """Return the value for tensors and settings; build it if it is missing."""
        key = (tuple(map(_name, tensors)), settings)
        with self._lock:
            found = self._entries.get(key)
            if found is not None and found.fits(tensors):
                self._entries.move_to_end(key)
                return found.value
        # The value must be usable later, even if it is first needed in inference or
        # within a transform.
        with outside_transforms(tensors), torch.inference_mode(False), torch.no_grad():
            value = build()
        entry = _Entry(
            value,
            tuple(self._watch(tensor, key) for tensor in tensors),
            tuple(map(_version, tensors)),
        )
        with self._lock:
            self._entries[key] = entry
            self._entries.move_to_end(key)
            while len(self._entries) > self.max_entries:
                self._entries.popitem(last=False)
        return value

    def clear(self) -> None:
        """Remove all values."""
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return type(self), (self.max_entries,)

    def _watch(
        self, tensor: Tensor | None, key: Hashable
    ) -> "weakref.ref[Tensor] | None":
        if tensor is None or tensor.is_inference():
            return None
        entries = self._entries

        def forget(reference: "weakref.ref[Tensor]") -> None:
            # Runs where the tensor dies, possibly while this thread holds the lock; a
            # single dictionary operation needs no lock.
            found = entries.get(key)
            if found is not None and any(r is reference for r in found.references):
                entries.pop(key, None)

        return weakref.ref(tensor, forget)


def _version(tensor: Tensor | None) -> int | None:
    return None if tensor is None or tensor.is_inference() else tensor._version


def _name(tensor: Tensor | None) -> Hashable:
    """Return the identity of a tensor, or of an inference tensor's content."""
    if tensor is None or not tensor.is_inference():
        return id(tensor)
    plain = tensor.as_subclass(Tensor).contiguous().cpu().numpy()
    digest = hashlib.blake2b(plain.tobytes(), digest_size=16).hexdigest()
    return digest, tuple(tensor.shape), tensor.dtype, str(tensor.device)
