"""Fisher matrix of a model, from given labels or from its own predictions."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from gsparse.edges import draw_seed
from gsparse.nn.evaluating import evaluating
from gsparse.prune.masks import WeightMasks
from gsparse.prune.surgeons.fisher import DAMPING, Fisher


def empirical_fisher(
    masks: WeightMasks, losses: Callable[[], Tensor], damping: float = DAMPING
) -> Fisher:
    r"""Return the Fisher matrix of given labels, with one gradient per labelled node,
    from the `"WoodFisher" <https://arxiv.org/abs/2004.14340>`_ paper.

    Costs one backward pass per node. The matrix vanishes with the training loss; prefer
    :func:`true_fisher` for a model that fits its labels, or has few of them.

    Args:
        masks: Masks of the weights. The gradient of a removed weight is zero (see
            :func:`full_weights`).
        losses: Returns one loss per sample, of shape [N], such as
            ``lambda: F.cross_entropy(model(x, edge_index)[train], y[train],
            reduction="none")``. Called once, in evaluation mode.
        damping: Damping; see :class:`Fisher`.

    Returns:
        A matrix with one block per parameter.

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
    logits: Callable[[], Tensor],
    num_samples: int = 256,
    damping: float = DAMPING,
    seed: int | None = None,
) -> Fisher:
    r"""Return the Fisher matrix of the model's own predictions, with labels
    :math:`y \sim p(y \mid v)` at nodes :math:`v` that are drawn from all nodes.

    It needs no labels, does not vanish with the training loss, and its rank grows with
    the number of samples. Costs one backward pass per sample.

    Args:
        masks: Masks of the weights; see :func:`empirical_fisher`.
        logits: Returns the logits of all nodes, of shape [N, C], such as
            ``lambda: model(x, edge_index)``. Called once, in evaluation mode.
        num_samples: Number of nodes; none is drawn twice if there are enough.
        damping: Damping; see :class:`Fisher`.
        seed: Random seed of nodes and labels; ``None`` draws one.

    Returns:
        A matrix with one block per parameter.

    Raises:
        ValueError: If the logits are not of shape [N, C], or not finite.

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
        log_p = logits()
        if log_p.dim() != 2 or log_p.size(0) == 0 or log_p.size(1) < 2:
            raise ValueError(
                "'logits' must return logits of shape [N, C], two classes at "
                f"least (got {list(log_p.shape)})"
            )
        if not log_p.isfinite().all():
            raise ValueError(
                "'logits' must return finite logits (got "
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
        return _fisher(masks, _checked(-log_p[node, label], "logits"), damping)


@contextmanager
def full_weights(masks: WeightMasks) -> Iterator[None]:
    """Let the model compute with its full weights within, as if it had no masks."""
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
    """Run one backward pass per loss: ``vmap`` does not support custom operators."""
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
