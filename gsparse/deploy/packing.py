"""Pack tensors of mostly zeros: their non-zero values and positions."""

from typing import NamedTuple

import torch
from torch import Tensor

_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_SIZES = (torch.uint8, torch.uint16, torch.int32, torch.int64)

_LONG = 255

FORMS = ("bits", "gaps", "runs")


class Packed(NamedTuple):
    """Non-zero values of a tensor and their positions."""

    form: str
    values: Tensor
    """The non-zero entries in order."""
    places: Tensor
    """``"bits"``: one bit per entry, 1 if it is not zero. ``"gaps"``: one byte per
    non-zero entry, the number of zeros before it; 255 means 255 zeros without an entry.
    ``"runs"``: alternating numbers of zeros and of non-zeros."""

    @property
    def num_bytes(self) -> int:
        """Size of values and positions together."""
        return sum(t.numel() * t.element_size() for t in (self.values, self.places))


def pack(tensor: Tensor) -> Packed:
    r"""Return the shortest of the three lossless forms.

    With :math:`k` of :math:`n` entries non-zero, the bits take :math:`n / 8` bytes and
    the gaps :math:`k` to :math:`k + n / 255` bytes. Runs are short if whole rows or
    blocks are zero; each takes 1, 2, 4 or 8 bytes, depending on the longest. Entries
    with a non-zero bit are stored, so ``-0.0`` is preserved.

    Example:
        >>> import torch
        >>> from gsparse.deploy.packing import pack
        >>> pack(torch.tensor([0.0, 0.0, 7.0, 0.0, 5.0]))
        Packed(form='bits', values=tensor([7., 5.]), places=tensor([20], dtype=torch.uint8))
    """  # noqa: E501 (what is printed)
    flat = tensor.detach().cpu().contiguous().flatten()
    left = flat.view(_BITS[flat.element_size()]) != 0
    values = flat[left]
    at = left.nonzero().view(-1)
    gaps = at.diff(prepend=at.new_full((1,), -1)) - 1
    places = {"bits": _bits(left), "gaps": _gaps(gaps), "runs": _smallest(_runs(left))}
    found = (Packed(form, values, it) for form, it in places.items())
    return min(found, key=lambda packed: packed.num_bytes)


def unpack(packed: Packed, shape: tuple[int, ...]) -> Tensor:
    """Return the tensor that was packed.

    Raises:
        ValueError: If the places do not fit the shape or the values.

    Example:
        >>> import torch
        >>> from gsparse.deploy.packing import pack, unpack
        >>> tensor = torch.eye(2)
        >>> unpack(pack(tensor), (2, 2)).equal(tensor)
        True
    """
    size = torch.Size(shape).numel()
    form, values, places = packed
    at = _places(form, places.long(), size)
    if at is None or at.shape != values.shape:
        raise ValueError(
            f"'places' must have {values.numel()} places in a tensor of shape "
            f"{list(shape)}, in one of the forms {', '.join(FORMS)} (got others, as "
            f"{form!r})"
        )
    kind = _BITS[values.element_size()]
    out = torch.zeros(size, dtype=kind)
    out[at] = values.contiguous().view(kind)
    return out.view(values.dtype).view(shape)


def can_pack(tensor: Tensor) -> bool:
    """Return whether a tensor is dense and real."""
    return tensor.layout == torch.strided and not tensor.is_complex()


def _places(form: str, places: Tensor, size: int) -> Tensor | None:
    """Return the positions of the values, or ``None`` if they do not fit the size."""
    if form == "bits":
        bits = (places.unsqueeze(1) >> torch.arange(8)) & 1
        at = bits.flatten().nonzero().view(-1)
        right = places.numel() == -(-size // 8)
    elif form == "gaps":
        entry = places != _LONG
        at = ((places + entry).cumsum(0) - 1)[entry]
        right = bool(((places >= 0) & (places <= _LONG)).all())
    elif form == "runs":
        right = bool((places >= 0).all()) and int(places.sum()) == size
        if not right:
            return None
        left = torch.arange(places.numel()) % 2 == 1
        at = left.repeat_interleave(places).nonzero().view(-1)
    else:
        return None
    return at if right and (not at.numel() or int(at[-1]) < size) else None


def _bits(left: Tensor) -> Tensor:
    padded = torch.nn.functional.pad(left, (0, -left.numel() % 8))
    weights = 2 ** torch.arange(8)
    return (padded.view(-1, 8) * weights).sum(1).to(torch.uint8)


def _gaps(zeros: Tensor) -> Tensor:
    """Return the gaps as bytes: full ones first, then the remainder."""
    last = (zeros // _LONG + 1).cumsum(0)  # of each gap, from 1
    found = torch.full((int(last[-1]) if len(last) else 0,), _LONG)
    found[last - 1] = zeros % _LONG
    return found.to(torch.uint8)


def _runs(left: Tensor) -> Tensor:
    """Return the lengths of the runs, starting with zeros."""
    if not left.numel():
        return torch.zeros(0, dtype=torch.long)
    ends = (left[1:] != left[:-1]).nonzero().view(-1) + 1
    ends = torch.cat([ends, ends.new_tensor([left.numel()])])
    start = [0, 0] if left[0] else [0]
    return torch.cat([ends.new_tensor(start), ends]).diff()


def _smallest(numbers: Tensor) -> Tensor:
    """Return the numbers in the smallest dtype that holds them all."""
    largest = int(numbers.max()) if numbers.numel() else 0
    kind = next(kind for kind in _SIZES if largest <= torch.iinfo(kind).max)
    return numbers.to(kind)
