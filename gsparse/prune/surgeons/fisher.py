"""The Fisher information of a model's weights, held as the gradients of samples."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from gsparse.edges import draw_seed
from gsparse.nn.evaluating import evaluating
from gsparse.prune.masks import WeightMasks

# ruff: noqa: N803, N806 (G as in the formulas)

#: Damping in units of the mean diagonal; the choice is explained at :class:`Fisher`.
DAMPING = 3.0


class Fisher:
    r"""The damped block Fisher matrix :math:`H = \lambda I + \frac{1}{N} G^\top G` of
    :math:`N` gradients, never formed.

    Blocks :math:`b` (layers) do not see each other: :math:`H` is zero between them.
    Products cost :math:`O(Nn)`. Solves use Woodbury's identity,

    .. math::
        H^{-1} = \frac{1}{\lambda} \left( I - G^\top (N \lambda I + G G^\top)^{-1} G
        \right),

    with one :math:`N \times N` Cholesky factor a block, so :math:`O(N^2 n)` once. The
    arithmetic is in float64: with few samples :math:`\lambda` is many orders below the
    largest eigenvalue. Memory: :math:`8 N n` bytes.

    The rank is at most :math:`N` a block: 60 for PubMed's public split, of 8,000
    weights. Everything else is up to :math:`\lambda`, which is therefore given as a
    multiple of the mean diagonal of :math:`\frac{1}{N} G^\top G` and matters more
    than in the papers, whose :math:`N` is near :math:`n`. Of 0.01, 0.1, 1, 3, 10 and
    100, the values 1 to 10 kept most validation accuracy of GCNs on Cora and PubMed at
    sparsity 0.95 and 0.98; 0.01 can end below plain masking.

    Args:
        gradients: One row a sample, on the weights of all blocks.
        damping: :math:`\lambda` as a multiple of the mean diagonal.
        sizes: Number of weights in each block; ``None`` for one block.

    Shapes:
        - **gradients:** :math:`(N, n)`

    Raises:
        ValueError: If there are no samples, a gradient is not finite, all of them are
            zero, or the damping is not positive.

    Example:
        >>> import torch
        >>> from gsparse.prune import Fisher
        >>> fisher = Fisher(torch.tensor([[2.0, 0.0, 2.0]]), damping=0.375)
        >>> fisher.ridge
        1.0
        >>> fisher.matvec(torch.tensor([1.0, 1.0, 0.0]))
        tensor([5., 1., 4.], dtype=torch.float64)
        >>> fisher.inverse_diagonal()
        tensor([0.5556, 1.0000, 0.5556], dtype=torch.float64)
    """

    ridge: float
    r"""The damping :math:`\lambda` itself."""

    def __init__(
        self,
        gradients: Tensor,
        damping: float = DAMPING,
        sizes: Sequence[int] | None = None,
    ) -> None:
        if gradients.dim() != 2:
            raise ValueError(
                "'gradients' must be of shape [num_samples, num_weights] "
                f"(got {list(gradients.shape)})"
            )
        if gradients.numel() == 0:
            raise ValueError(
                "'gradients' must have at least one sample and one weight "
                f"(got {list(gradients.shape)})"
            )
        if not gradients.isfinite().all():
            raise ValueError(
                "'gradients' must be finite (got "
                f"{int((~gradients.isfinite()).sum())} that are not): "
                "is the loss finite?"
            )
        if not 0 < damping < float("inf"):
            raise ValueError(f"'damping' must be positive and finite (got {damping})")
        sizes = [gradients.size(1)] if sizes is None else list(sizes)
        if sum(sizes) != gradients.size(1):
            raise ValueError(
                f"'sizes' must sum to the {gradients.size(1)} weights (got {sizes})"
            )
        self.gradients = gradients.detach().double()
        self.ridge = damping * self.gradients.square().sum().item() / gradients.numel()
        if self.ridge == 0:
            raise ValueError(
                "'gradients' must not all be zero (got a Fisher matrix of 0): a model "
                "that fits its samples perfectly has no empirical Fisher; draw labels "
                "from its predictions instead (true_fisher)"
            )
        ends = torch.tensor(sizes).cumsum(0).tolist()
        self.blocks = [slice(e - n, e) for e, n in zip(ends, sizes, strict=True)]

    @property
    def num_samples(self) -> int:
        """Rows of the gradient matrix."""
        return self.gradients.size(0)

    @property
    def num_weights(self) -> int:
        """Of all blocks."""
        return self.gradients.size(1)

    @property
    def block_index(self) -> Tensor:
        """Which block each weight belongs to, ``[n]``."""
        sizes = torch.tensor([part.stop - part.start for part in self.blocks])
        return torch.arange(len(sizes)).repeat_interleave(sizes).to(self._device)

    def matvec(self, v: Tensor) -> Tensor:
        """:math:`H v`, ``[n]``."""
        v = self._vector(v)
        out = self.ridge * v
        for part in self.blocks:
            G = self.gradients[:, part]
            out[part] += G.T @ (G @ v[part]) / self.num_samples
        return out

    def quadratic(self, v: Tensor) -> float:
        r""":math:`v^\top H v`."""
        v = self._vector(v)
        seen = sum((self.gradients[:, b] @ v[b]).square().sum() for b in self.blocks)
        return float(seen / self.num_samples + self.ridge * v.square().sum())

    def diagonal(self) -> Tensor:
        """:math:`H_{qq}` of every weight, ``[n]``."""
        return self.gradients.square().mean(dim=0) + self.ridge

    def block(self, rows: Tensor, cols: Tensor) -> Tensor:
        """The entries of these rows and columns, for few of them."""
        G, index = self.gradients, self.block_index
        entries = G[:, rows].T @ G[:, cols] / self.num_samples
        entries = entries * (index[rows][:, None] == index[cols])
        return entries + self.ridge * (rows[:, None] == cols)

    def solve(self, v: Tensor) -> Tensor:
        """:math:`H^{-1} v`, ``[n]``."""
        v, out = self._vector(v), torch.empty_like(self._vector(v))
        for part in self.blocks:
            G = self.gradients[:, part]
            inner = torch.cholesky_solve((G @ v[part])[:, None], self.factor(G))
            out[part] = (v[part] - G.T @ inner[:, 0]) / self.ridge
        return out

    def inverse_diagonal(self) -> Tensor:
        """:math:`[H^{-1}]_{qq}` of every weight, ``[n]``."""
        out = self.gradients.new_empty(self.num_weights)
        for part in self.blocks:
            G = self.gradients[:, part]
            white = torch.linalg.solve_triangular(self.factor(G), G, upper=False)
            out[part] = (1 - white.square().sum(dim=0)) / self.ridge
        return out

    def factor(self, G: Tensor) -> Tensor:
        r"""Cholesky factor of :math:`N \lambda I + G G^\top`, ``[N, N]``, for some
        columns of the gradients.
        """
        gram = G @ G.T
        gram.diagonal().add_(self.num_samples * self.ridge)
        return torch.linalg.cholesky(gram)

    def part(self, index: int) -> "Fisher":
        """One block alone, with the same damping."""
        out = object.__new__(Fisher)
        out.gradients, out.ridge = self.gradients[:, self.blocks[index]], self.ridge
        out.blocks = [slice(0, out.num_weights)]
        return out

    @property
    def _device(self) -> torch.device:
        return self.gradients.device

    def _vector(self, v: Tensor) -> Tensor:
        if v.shape != (self.num_weights,):
            raise ValueError(
                f"a vector on the weights must be of shape [{self.num_weights}] "
                f"(got {list(v.shape)})"
            )
        return v.to(self.gradients)

    def __repr__(self) -> str:
        return (
            f"Fisher(num_samples={self.num_samples}, num_weights={self.num_weights}, "
            f"ridge={self.ridge:.3g})"
        )


def empirical_fisher(
    masks: WeightMasks, losses: Callable[[], Tensor], damping: float = DAMPING
) -> Fisher:
    r"""The Fisher matrix of the given labels, from the `"WoodFisher"
    <https://arxiv.org/abs/2004.14340>`_ paper: one gradient a labelled node.

    Costs one backward pass a node. It vanishes with the training loss; prefer
    :func:`true_fisher` for a model that fits its labels, or has few of them.

    Args:
        masks: Of the weights; read as they are, so that the gradient of a weight that
            is gone is zero (see :func:`full_weights`).
        losses: Returns one loss a sample, such as ``lambda: F.cross_entropy(
            model(x, edge_index)[train], y[train], reduction="none")``. Called once, in
            eval mode.
        damping: As for :class:`Fisher`.

    Returns:
        One block a parameter.

    Raises:
        ValueError: If the losses are not of shape [N], or have no finite gradients.

    Example:
        >>> import torch
        >>> from gsparse.prune import WeightMasks
        >>> from gsparse.prune import empirical_fisher
        >>> model, x = torch.nn.Linear(3, 1, bias=False), torch.eye(3)
        >>> empirical_fisher(WeightMasks(model), lambda: model(x)[:, 0], damping=3.0)
        Fisher(num_samples=3, num_weights=3, ridge=1)
    """
    with evaluating(masks.model), torch.enable_grad():
        return _fisher(masks, _checked(losses(), "losses"), damping)


def true_fisher(
    masks: WeightMasks,
    scores: Callable[[], Tensor],
    num_samples: int = 256,
    damping: float = DAMPING,
    seed: int | None = None,
) -> Fisher:
    r"""The Fisher matrix of the model's own predictions: labels
    :math:`y \sim p(y \mid v)` are drawn from them at nodes :math:`v` drawn from all.

    It needs no labels, does not vanish when the training loss does, and its rank grows
    with the number of samples. Costs one backward pass a sample.

    Args:
        masks: As for :func:`empirical_fisher`.
        scores: Returns the class scores (logits) of all nodes, such as
            ``lambda: model(x, edge_index)``. Called once, in eval mode.
        num_samples: How many nodes; each comes once if there are enough.
        damping: As for :class:`Fisher`.
        seed: Of nodes and labels; ``None`` draws one.

    Returns:
        One block a parameter.

    Raises:
        ValueError: If the scores are not of shape [N, C], or not finite.

    Example:
        >>> import torch
        >>> from gsparse.prune import WeightMasks
        >>> from gsparse.prune import true_fisher
        >>> model, x = torch.nn.Linear(3, 2), torch.eye(3)
        >>> true_fisher(WeightMasks(model), lambda: model(x), 4, seed=31727).num_samples
        4
    """
    if num_samples < 1:
        raise ValueError(f"'num_samples' must be at least 1 (got {num_samples})")
    generator = torch.Generator().manual_seed(draw_seed(seed) % 2**63)
    with evaluating(masks.model), torch.enable_grad():
        log_p = scores()
        if log_p.dim() != 2 or log_p.size(0) == 0 or log_p.size(1) < 2:
            raise ValueError(
                "'scores' must return class scores of shape [N, C], two classes at "
                f"least (got {list(log_p.shape)})"
            )
        if not log_p.isfinite().all():
            raise ValueError(
                "'scores' must return finite scores (got "
                f"{int((~log_p.isfinite()).sum())} that are not)"
            )
        log_p = log_p.log_softmax(dim=1)
        if num_samples <= log_p.size(0):
            node = torch.randperm(log_p.size(0), generator=generator)[:num_samples]
        else:
            node = torch.randint(log_p.size(0), (num_samples,), generator=generator)
        node = node.to(log_p.device)
        p = log_p.detach()[node].exp().cpu()
        label = torch.multinomial(p, 1, generator=generator)[:, 0].to(log_p.device)
        return _fisher(masks, _checked(-log_p[node, label], "scores"), damping)


@contextmanager
def full_weights(masks: WeightMasks) -> Iterator[None]:
    """Within, the model computes with its full weights, as if nothing were masked."""
    before = {name: masks.module(name).soft for name in masks.targets}
    full = {name: torch.ones_like(w) for name, w in masks.parameters().items()}
    masks.soften(full)
    try:
        yield
    finally:
        for name, soft in before.items():
            masks.module(name).soft = soft


def _checked(losses: Tensor, name: str) -> Tensor:
    if losses.dim() != 1 or losses.numel() == 0:
        raise ValueError(
            f"{name!r} must return one loss a sample, of shape [N], of one sample at "
            f"least (got {list(losses.shape)}); use reduction='none'"
        )
    if not losses.requires_grad:
        raise ValueError(
            f"{name!r} must compute with the model, gradients on (got a result "
            "without a graph)"
        )
    return losses


def _fisher(masks: WeightMasks, losses: Tensor, damping: float) -> Fisher:
    """One backward pass a loss: custom operators do not pass through ``vmap``."""
    parameters = masks.parameters()
    for name, weight in parameters.items():
        if not weight.requires_grad:
            raise ValueError(
                f"{name!r} must require a gradient (got a frozen parameter); leave it "
                "out by 'exclude'"
            )
    sizes = [weight.numel() for weight in parameters.values()]
    leaves = list(parameters.values())
    rows = leaves[0].new_empty(
        losses.numel(), sum(sizes), dtype=torch.float64, requires_grad=False
    )
    for row, loss in zip(rows, losses, strict=True):
        grads = torch.autograd.grad(
            loss, leaves, retain_graph=True, materialize_grads=True, allow_unused=True
        )
        torch.cat([grad.flatten().double() for grad in grads], out=row)
    return Fisher(rows, damping, sizes)
