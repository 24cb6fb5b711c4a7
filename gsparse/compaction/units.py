"""Numbers for the channels of a model, and which of them are one unit."""

import torch
from torch import Tensor


class Units:
    """Numbers channels and remembers which ones can only be removed together.

    Ties are noted as they come and resolved at once in :meth:`classes`.

    Example:
        >>> from gsparse.compaction.units import Units
        >>> units = Units()
        >>> first, second, third = units.fresh(2), units.fresh(2), units.fresh(1)
        >>> units.tie(first, second)
        >>> units.tie(second[:1], third)
        >>> units.classes()
        tensor([0, 1, 0, 1, 0])
    """

    def __init__(self) -> None:
        self.count = 0
        self._ties: list[Tensor] = []

    def fresh(self, size: int) -> Tensor:
        """Numbers that no other channel has."""
        self.count += size
        return torch.arange(self.count - size, self.count)

    def tie(self, first: Tensor, second: Tensor) -> None:
        """The channels of two axes are the same units, one by one."""
        if first is not second:
            self._ties.append(torch.stack([first, second]))

    def classes(self) -> Tensor:
        """For every channel the smallest number among those tied to it.

        Costs a few passes over the ties: each halves what is left of a chain.
        """
        label = torch.arange(self.count)
        if not self._ties:
            return label
        left, right = torch.cat(self._ties, dim=1)
        while True:
            least = torch.minimum(label[left], label[right])
            new = label.clone()
            for place in (left, right, label[left], label[right]):
                new.scatter_reduce_(0, place, least, "amin")
            new = new[new]
            if new.equal(label):
                return label
            label = new
