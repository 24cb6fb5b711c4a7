"""What an operation needs of the channels it reads, and which constants it makes."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Value:
    """A tensor of the run: the unit of each of its channels.

    Args:
        units: Numbers of the units.
        constant: What a channel is for every node of every graph; NaN if it varies.
        axis: The dimension of the channels, counted from the end.

    Shapes:
        - **units**, **constant**, **needed:** :math:`(C,)`
    """

    def __init__(self, units: Tensor, constant: Tensor, axis: int = -1) -> None:
        self.units, self.constant, self.axis = units, constant, axis
        self.needed = torch.zeros(units.numel(), dtype=torch.bool)
        self.consumers: list[Operation] = []
        self.producer: Operation | None = None
        self.is_output = False

    @property
    def size(self) -> int:
        """Number of channels."""
        return self.units.numel()

    @property
    def varies(self) -> Tensor:
        """Which channels are not the same for all nodes."""
        return self.constant.isnan()

    @property
    def is_zero(self) -> Tensor:
        """Which channels are 0 for all nodes."""
        return self.constant == 0


class HeadRecord:
    """The heads of one convolution.

    Every list in ``blocks`` has one tensor of units for each head, those in ``common``
    are shared by all heads. What is left of all of these must be of one size.
    """

    def __init__(self, module: Any, heads: int, channels: int) -> None:  # noqa: ANN401
        self.module, self.heads, self.channels = module, heads, channels
        self.blocks: list[Tensor] = []  # [H, C] each
        self.common: list[Tensor] = []  # [C] each
        self.alive = torch.zeros(heads, dtype=torch.bool)


class Needs:
    """What a backward pass finds out beside ``Value.needed``."""

    def __init__(self, classes: Tensor, unfoldable: Tensor) -> None:
        self.classes = classes
        self.unfoldable = unfoldable
        self.folds: list[tuple[LinearMap, Tensor]] = []
        self.reasons: dict[str, Tensor] = {}

    def note(self, reason: str, units: Tensor) -> None:
        """Why units are needed that no weight reads."""
        mask = self.reasons.setdefault(reason, torch.zeros_like(self.unfoldable))
        mask[self.classes[units]] = True


class Operation(ABC):
    """One step of the run."""

    run = 0  # which one, if several are recorded

    def __init__(self, inputs: Sequence[Value], output: Value) -> None:
        self.inputs, self.output = list(inputs), output

    @abstractmethod
    def pull(self, needs: Needs) -> None:
        """Mark what the needed channels of the output need of the inputs."""


class LinearMap(Operation):
    r""":math:`Y = X W^\top + b`, the one operation that mixes channels.

    It needs what a weight of a needed row reads, unless that is 0. A constant is not
    needed either if :math:`W c` can go to a bias.

    Shapes:
        - **matrix:** :math:`(F_{out}, F_{in})`
    """

    def __init__(
        self, x: Value, out: Value, weight: Tensor, matrix: Tensor, bias: Tensor | None
    ) -> None:
        super().__init__([x], out)
        self.weight, self.matrix, self.bias = weight, matrix, bias
        self.target: Tensor | None = None
        """Bias that constants can be added to."""
        self.foldable = torch.zeros_like(x.needed)
        """Inputs that are the same constant wherever this weight is used."""
        self.stays = torch.zeros_like(out.needed)
        """Constant rows that stay for another reason: they must stay what they are."""

    @staticmethod
    def constant_of(matrix: Tensor, constant: Tensor, bias: Tensor | None) -> Tensor:
        """Rows that read constants only are constants."""
        varies = constant.isnan()
        reads = (matrix[:, varies] != 0).any(dim=1)
        out = matrix @ constant.masked_fill(varies, 0.0).to(matrix)
        out = out if bias is None else out + bias.detach()
        return out.masked_fill(reads, torch.nan).cpu()

    def pull(self, needs: Needs) -> None:
        (x,) = self.inputs
        needed = self.output.needed | self.stays
        rows = self.matrix[needed.to(self.matrix.device)]
        read = (rows != 0).any(dim=0).cpu() & ~x.is_zero
        fold = read & self.foldable & ~needs.unfoldable[needs.classes[x.units]]
        x.needed |= read & ~fold
        needs.folds.append((self, fold))


class Channelwise(Operation):
    """Every channel by itself: activations, sums, factors, batch norms."""

    def __init__(
        self,
        inputs: Sequence[Value],
        output: Value,
        bias: Tensor | None = None,
        is_sum: bool = False,
    ) -> None:
        super().__init__(inputs, output)
        self.bias, self.is_sum = bias, is_sum

    def pull(self, needs: Needs) -> None:
        for x in self.inputs:
            x.needed |= self.output.needed if x.size > 1 else self.output.needed.any()


class Rows(Channelwise):
    """Nodes are mixed: propagation, pooling. Of constants only 0 stays one."""


class Concat(Operation):
    """Channels of several tensors, one after another."""

    def pull(self, needs: Needs) -> None:
        parts = self.output.needed.split([x.size for x in self.inputs])
        for x, part in zip(self.inputs, parts, strict=True):
            x.needed |= part


class AllChannels(Operation):
    """Reads all channels of a node together: layer norm, softmax, length.

    Args:
        inputs: The tensor.
        output: Its channels are the same units.
        reason: For the report.
        zeros: Whether a channel of zeros counts.
        always: Whether all are needed even if nothing reads the output: the code
            depends on their number.
    """

    def __init__(
        self,
        inputs: Sequence[Value],
        output: Value,
        reason: str,
        zeros: bool = True,
        always: bool = False,
    ) -> None:
        super().__init__(inputs, output)
        self.reason, self.zeros, self.always = reason, zeros, always

    def pull(self, needs: Needs) -> None:
        if not (self.always or self.output.needed.any()):
            return
        for x in self.inputs:
            read = torch.ones_like(x.needed) if self.zeros else ~x.is_zero
            x.needed |= read
            needs.note(self.reason, x.units[read])
