"""A tensor of mostly zeros in fewer bytes: the values that are left, and where."""

from typing import NamedTuple

import torch
from torch import Tensor

_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_SIZES = (torch.uint8, torch.uint16, torch.int32, torch.int64)

_LONG = 255

FORMS = ("bits", "gaps", "runs")


class Packed(NamedTuple):
    """What is left of a tensor."""

    form: str
    values: Tensor
    """Of the entries that are not zero, in order."""
    places: Tensor
    """``"bits"``: one bit an entry, whether it is left. ``"gaps"``: a byte for each
    entry that is left, how many zeros are before it; 255 for so many zeros and no
    entry. ``"runs"``: how many zeros, how many others, and so on."""

    @property
    def num_bytes(self) -> int:
        """Of values and places together."""
        return sum(t.numel() * t.element_size() for t in (self.values, self.places))


def pack(tensor: Tensor) -> Packed:
    r"""The shortest of the three forms, without loss of a bit.

    With :math:`k` of :math:`n` entries left, the bits take :math:`n / 8` bytes and the
    gaps :math:`k` to :math:`k + n / 255`. Runs are short where whole rows or blocks are
    gone, each of 1, 2, 4 or 8 bytes by the longest. A zero is an entry all of whose bits are 0, so
    ``-0.0`` is left.

    Example:
        >>> import torch
        >>> from gsparse.deploy.packing import pack
        >>> pack(torch.tensor([0.0, 0.0, 7.0, 0.0, 5.0]))
        Packed(form='bits', values=tensor([7., 5.]), places=tensor([20], dtype=torch.uint8))
    """  # noqa: E501 (what is printed)
    flat = tensor.detach().cpu().contiguous().flatten()
    left = flat.view(_BITS[flat.element_size()]) != 0
    values = flat[left]
    found = [Packed("bits", values, _bits(left))]
    at = left.nonzero().view(-1)
    before = torch.cat([at.new_full((1,), -1), at])
    found.append(Packed("gaps", values, _gaps(before.diff() - 1)))
    found.append(Packed("runs", values, _smallest(_runs(left))))
    return min(found, key=lambda packed: packed.num_bytes)


def unpack(packed: Packed, shape: tuple[int, ...]) -> Tensor:
    """The tensor that was packed.

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
    """Whether it is dense and of real numbers."""
    return tensor.layout == torch.strided and not tensor.is_complex()


def _places(form: str, places: Tensor, size: int) -> Tensor | None:
    """Where values stand; ``None`` for places that are of no tensor of that size."""
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
    """Bytes: full ones first, then the rest of the gap."""
    last = (zeros // _LONG + 1).cumsum(0)  # of each gap, from 1
    found = torch.full((int(last[-1]) if len(last) else 0,), _LONG)
    found[last - 1] = zeros % _LONG
    return found.to(torch.uint8)


def _runs(left: Tensor) -> Tensor:
    """Lengths of the runs, the first of zeros."""
    if not left.numel():
        return torch.zeros(0, dtype=torch.long)
    ends = (left[1:] != left[:-1]).nonzero().view(-1) + 1
    ends = torch.cat([ends, ends.new_tensor([left.numel()])])
    start = [0, 0] if left[0] else [0]
    return torch.cat([ends.new_tensor(start), ends]).diff()


def _smallest(numbers: Tensor) -> Tensor:
    """The same numbers in the smallest type that holds them all."""
    largest = int(numbers.max()) if numbers.numel() else 0
    kind = next(kind for kind in _SIZES if largest <= torch.iinfo(kind).max)
    return numbers.to(kind)
