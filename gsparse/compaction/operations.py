"""Operations of a recorded run: which inputs they need."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Value:
    """A tensor of the run, with the unit of each of its channels.

    Args:
        units: Ids of the units.
        constant: Value of a channel if it is equal for all nodes and graphs, else NaN.
        axis: Dimension of the channels, counted from the end.

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
    def unknown(self) -> Tensor:
        """NaN for every channel, the constant of channels that vary."""
        return torch.full_like(self.constant, torch.nan)

    @property
    def varies(self) -> Tensor:
        """True for channels that are not constant."""
        return self.constant.isnan()

    @property
    def is_zero(self) -> Tensor:
        """True for channels that are 0 for all nodes."""
        return self.constant == 0


class HeadRecord:
    """The heads of one convolution.

    Tensors in ``blocks`` have one row of units per head; those in ``common`` are shared
    by all heads. The remaining parts of all of them must have the same size.
    """

    def __init__(self, module: Any, heads: int, channels: int) -> None:  # noqa: ANN401
        self.module, self.heads, self.channels = module, heads, channels
        self.blocks: list[Tensor] = []  # [H, C] each
        self.common: list[Tensor] = []  # [C] each
        self.alive = torch.zeros(heads, dtype=torch.bool)


class Needs:
    """Results of a backward pass besides ``Value.needed``."""

    def __init__(self, classes: Tensor, unfoldable: Tensor) -> None:
        self.classes = classes
        self.unfoldable = unfoldable
        self.folds: list[tuple[LinearMap, Tensor]] = []
        self.reasons: dict[str, Tensor] = {}

    def note(self, reason: str, units: Tensor) -> None:
        """Note the reason to keep units that no weight reads."""
        mask = self.reasons.setdefault(reason, torch.zeros_like(self.unfoldable))
        mask[self.classes[units]] = True


class Operation(ABC):
    """One operation of the run."""

    run = 0  # number of the run, if several are recorded

    def __init__(self, inputs: Sequence[Value], output: Value) -> None:
        self.inputs, self.output = list(inputs), output

    @abstractmethod
    def pull(self, needs: Needs) -> None:
        """Mark the input channels that the needed output channels depend on."""


class LinearMap(Operation):
    r"""A linear map :math:`Y = X W^\top + b`, the only operation that mixes channels.

    It needs the inputs that weights of needed rows read, except for zeros. A constant
    is not needed if :math:`W c` can be added to a bias.

    Shapes:
        - **matrix:** :math:`(F_{out}, F_{in})`
    """

    def __init__(
        self, x: Value, out: Value, weight: Tensor, matrix: Tensor, bias: Tensor | None
    ) -> None:
        super().__init__([x], out)
        self.weight, self.matrix, self.bias = weight, matrix, bias
        self.target: Tensor | None = None
        """Bias to which constants can be added."""
        self.foldable = torch.zeros_like(x.needed)
        """Inputs that are the same constant in all uses of this weight."""
        self.stays = torch.zeros_like(out.needed)
        """Constant rows that are kept for another reason and must not change."""

    @staticmethod
    def constant_of(matrix: Tensor, constant: Tensor, bias: Tensor | None) -> Tensor:
        """Return the constants of the outputs; rows that read only constants are
        constant.
        """
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
    """Operation within each channel: activations, sums, factors, batch norms."""

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
    """Operation that mixes nodes, such as propagation and pooling; only 0 stays
    constant.
    """


class Concat(Operation):
    """Concatenation of the channels of several tensors."""

    def pull(self, needs: Needs) -> None:
        parts = self.output.needed.split([x.size for x in self.inputs])
        for x, part in zip(self.inputs, parts, strict=True):
            x.needed |= part


class AllChannels(Operation):
    """Operation that reads all channels of a node together: layer norm, softmax,
    length.

    Args:
        inputs: The tensor.
        output: The output, with the same units.
        reason: Reason for the report.
        zeros: Whether channels of zeros affect the output.
        always: Whether all channels are needed even if nothing reads the output,
            because the code depends on their number.
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
