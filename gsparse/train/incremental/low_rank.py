"""Low-rank linear layers whose factors are shared by tasks."""

import torch
from torch import Tensor
from torch.nn import Module, Parameter, ParameterList
from torch.nn.functional import linear


def truncated_svd(weight: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return the nearest matrix of a given rank as :math:`U \operatorname{diag}(s)
    V^T`.

    By the theorem of Eckart and Young no matrix of this rank is nearer, and the squared
    distance is the sum of the squares of the omitted singular values. It costs a full
    singular value decomposition.

    Args:
        weight: A matrix.
        rank: Number of singular values to keep.

    Returns:
        Columns :math:`U`, values :math:`s` in descending order, columns :math:`V`.

    Shapes:
        - **weight:** :math:`(m, n)`
        - **output:** :math:`(m, r)`, :math:`(r,)`, :math:`(n, r)`

    Raises:
        ValueError: If the rank is not between 1 and the smaller side.

    Example:
        >>> import torch
        >>> from gsparse.train.incremental.low_rank import truncated_svd
        >>> u, s, v = truncated_svd(torch.diag(torch.tensor([3.0, 1.0, 2.0])), 2)
        >>> s
        tensor([3., 2.])
    """
    most = min(weight.shape)
    if not 1 <= rank <= most:
        raise ValueError(
            f"'rank' must be from 1 to the smaller side of the weight, {most} "
            f"(got {rank})"
        )
    left, values, right = torch.linalg.svd(weight.detach(), full_matrices=False)
    return left[:, :rank], values[:rank], right[:rank].t()


class Factors(Module):
    r"""Columns of :math:`U` and :math:`V`, with one block of both per task.

    Args:
        in_features: Rows of :math:`V`.
        out_features: Rows of :math:`U`.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.u, self.v = ParameterList(), ParameterList()

    def append(self, rank: int, like: Tensor, generator: torch.Generator) -> None:
        """Add a block of orthonormal columns, at most as many as the smaller side.

        Args:
            rank: Number of columns.
            like: Tensor that defines dtype and device.
            generator: Random generator on the CPU.
        """
        rank = min(rank, self.in_features, self.out_features)
        sides = (self.u, self.out_features), (self.v, self.in_features)
        for blocks, length in sides:
            drawn = torch.randn(length, rank, generator=generator)
            columns = torch.linalg.qr(drawn).Q
            blocks.append(Parameter(columns.to(like).contiguous()))

    def rank(self, task: int) -> int:
        """Return the number of columns up to and including the block of a task."""
        return sum(block.size(1) for block in list(self.u)[: task + 1])

    def upto(self, task: int) -> tuple[Tensor, Tensor]:
        """Return all columns that a task reads.

        Shapes:
            - **output:** :math:`(m, R_t)`, :math:`(n, R_t)`
        """
        blocks = slice(task + 1)
        u, v = list(self.u)[blocks], list(self.v)[blocks]
        return torch.cat(u, dim=1), torch.cat(v, dim=1)

    def extra_repr(self) -> str:
        """Return the sizes and the rank of each block."""
        ranks = [block.size(1) for block in self.u]
        return f"{self.in_features}, {self.out_features}, ranks={ranks}"


class LowRankLinear(Module):
    r"""The linear layer of one task: shared factors with its own selector and bias.

    .. math::
        Y = X V_{1:t} \operatorname{diag}(s_t) U_{1:t}^T + b_t

    The factors are not part of this layer: they are not moved, saved or listed with it.
    The product is computed factor by factor, with :math:`N R_t (n + m)` operations, if
    that is less than the :math:`N n m` of the whole weight.

    Args:
        factors: The shared columns.
        task: Number of the last block that is read.
        bias: Initial bias, or None.

    Shapes:
        - **x:** :math:`(*, n)`, dense or :class:`~gsparse.train.SparseFeatures`
        - **output:** :math:`(*, m)`
    """

    bias: Tensor | None

    def __init__(self, factors: Factors, task: int, bias: Tensor | None) -> None:
        super().__init__()
        self._factors = (factors,)  # in a tuple, so not a submodule
        self.task = task
        self.in_features = factors.in_features
        self.out_features = factors.out_features
        like = factors.u[0] if len(factors.u) else torch.empty(0)
        self.s = Parameter(like.new_ones(factors.rank(task)))
        own = None if bias is None else Parameter(bias.detach().clone())
        self.register_parameter("bias", own)

    @property
    def factors(self) -> Factors:
        """The shared columns."""
        return self._factors[0]

    @torch.no_grad()
    def begin(self, task: int, *, as_before: bool) -> None:
        """Switch to a new task, whose columns are the last ones.

        Args:
            task: Number of the task.
            as_before: Whether to start with the weight of the previous task; otherwise
                with the new columns alone.
        """
        before, old, blocks = self.factors.rank(task - 1), self.s, self.factors.u
        selector = blocks[task].new_zeros(self.factors.rank(task))
        if as_before:
            selector[:before] = old
        else:
            selector[before:] = 1.0
        self.s, self.task = Parameter(selector), task

    @torch.no_grad()
    def approximate(self, weight: Tensor) -> None:
        """Set the factors to approximate a weight ``[m, n]``; for the first
        task only.
        """
        u, s, v = truncated_svd(weight, self.s.numel())
        self.factors.u[0].copy_(u)
        self.factors.v[0].copy_(v)
        self.s.copy_(s)

    @property
    def weight(self) -> Tensor:
        """The whole weight ``[m, n]``, computed in every call."""
        u, v = self.factors.upto(self.task)
        return (u * self.s) @ v.t()

    def product(self, x: Tensor) -> Tensor:
        """Return ``x @ W.T``, without the bias."""
        u, v = self.factors.upto(self.task)
        m, n = self.out_features, self.in_features
        if self.s.numel() * (n + m) < n * m:
            return linear(linear(x, v.t()), u * self.s)
        return linear(x, (u * self.s) @ v.t())

    def forward(self, x: Tensor) -> Tensor:
        out = self.product(x)
        return out if self.bias is None else out + self.bias

    def extra_repr(self) -> str:
        """Return the sizes and the number of columns read."""
        bias = self.bias is not None
        sizes = f"{self.in_features}, {self.out_features}"
        return f"{sizes}, rank={self.s.numel()}, bias={bias}"
