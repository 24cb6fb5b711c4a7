"""Ids of the channels of a model, and which of them form one unit."""

import torch
from torch import Tensor


class Units:
    """Assigns ids to channels and stores which of them can only be removed together.

    Ties are collected and resolved together in :meth:`classes`.

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
        """Return new ids."""
        self.count += size
        return torch.arange(self.count - size, self.count)

    def tie(self, first: Tensor, second: Tensor) -> None:
        """Tie the channels of two axes one by one."""
        if first is not second:
            self._ties.append(torch.stack([first, second]))

    def classes(self) -> Tensor:
        """Return for every channel the smallest id that it is tied to.

        It costs a few passes over the ties; each halves the remaining chains.
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
