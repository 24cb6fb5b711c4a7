"""Learn an edge mask that keeps the predictions of a trained model."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.nn.evaluating import frozen
from gsparse.nn.learned_mask import LearnedMask
from gsparse.train.distill import Distillation
from gsparse.train.fit import fit, predict_logits
from gsparse.train.fit_config import FitConfig
from gsparse.train.history import History
from gsparse.train.keep import fit_to_keep

#: Gates are trained without weight decay, which would pull their log-odds to zero.
MASK_FIT = FitConfig(
    lr=0.1, weight_decay=0.0, epochs=200, patience=200, validate_every=10
)


@dataclass
class MaskHistory(History):
    """Record of a fit of a mask.

    Attributes:
        kept_before: Fraction of all nodes that keep their class on the graph that the
            mask leaves before the fit, which is as good as random edges.
        kept: The same after the fit.
    """

    kept_before: float = 0.0
    kept: float = 0.0


def fit_mask(
    mask: LearnedMask,
    data: Data,
    *,
    logits: Tensor | None = None,
    hard: bool = True,
    keep: float | None = None,
    config: FitConfig = MASK_FIT,
    seed: int = 0,
    callback: Callable[[int, float, float], None] | None = None,
) -> MaskHistory:
    """Fit the gates so that the model keeps its predictions with fewer edges.

    The weights of ``mask.model``, which must be trained, are frozen. The gates are
    fitted to its predicted class at every node, labelled or not, and to the labels of
    the training nodes. The trained model thus helps to choose edges but does not change
    any weight. The gates end in the state of the epoch in which most nodes of the
    sparse graph kept their class; validation labels are not used. Choose a ``ramp`` of
    the mask that ends well before the last epoch.

    Use the weights as they are: up to 80 or 90 % of the edges removed, the trained
    model on ``mask.sparsify(data)`` loses least. Beyond that they may be fine-tuned on
    the labels, ``fit(mask.model, mask.sparsify(data))``; let validation nodes decide.

    With ``keep`` you ask for quality instead of sparsity: the fit finds the largest
    sparsity with which that fraction of the nodes keeps its class, and sets
    ``mask.sparsity``. It takes two to five times as long, as the mask is fitted
    further at several sparsities. At a given sparsity
    :class:`~gsparse.train.EdgeExchange` keeps more predictions, in less time.

    Do not use such a mask with another model: it keeps the edges that these weights
    need, which may not be enough for a fresh model. It shows where edges change
    predictions, not where predictions are correct.

    Args:
        mask: A learned mask that wraps a trained model.
        data: The graph with ``x``, ``y`` and ``train_mask``.
        logits: Logits to keep; ``None`` uses those of ``mask.model``.
        hard: Whether to keep the most likely class. ``False`` keeps the probabilities,
            for ranking metrics such as ROC-AUC.
        keep: Fraction of all nodes that keep their class, in (0, 1]; the search begins
            at ``mask.sparsity``. ``None`` keeps the sparsity of the mask.
        config: Settings of the fit; its metric chooses the epoch.
        seed: Random seed of the fit.
        callback: See :func:`~gsparse.train.fit`.

    Returns:
        The history, with the fraction of all nodes that keep their class before and
        after the fit.

    Shapes:
        - **logits:** :math:`(N, C)`

    Raises:
        TypeError: If ``mask`` is not a learned mask.
        ValueError: If ``keep`` is not in (0, 1], or is given for a mask with
            ``penalty=``, which has no budget.

    Example:
        >>> from gsparse.data import planted_partition, split
        >>> from gsparse.nn import KEdge
        >>> from gsparse.train import GCN, FitConfig, fit, fit_mask
        >>> data = planted_partition(200, num_classes=2, seed=7)
        >>> data = split(data, "random", seed=7)
        >>> model = GCN(data.num_features, 8, 2)
        >>> _ = fit(model, data, config=FitConfig(epochs=20))
        >>> mask = KEdge(
        ...     model, data.num_features, 0.8, edge_index=data.edge_index, ramp=10
        ... )
        >>> _ = fit_mask(mask, data, config=FitConfig(lr=0.05, epochs=20))
        >>> sparse = mask.sparsify(data)
    """
    if not isinstance(mask, LearnedMask):
        raise TypeError(
            "'mask' must be a learned mask around a model, such as KEdge(model, ...) "
            f"(got {type(mask).__name__})"
        )
    logits = logits_to_keep(mask.model, data, logits)
    if not (data.edge_index[0] != data.edge_index[1]).any():
        raise ValueError("'data' must have an edge between two nodes (got none)")
    wanted = copy.copy(data)
    wanted.y = logits.argmax(1)
    wanted.val_mask = torch.ones_like(wanted.y, dtype=torch.bool)
    kept = partial(_kept, mask, data, wanted.y)

    def fit_gates(config: FitConfig) -> History:
        return fit(
            mask,
            data,
            config=config,
            seed=seed,
            eval_data=wanted,
            callback=callback,
            distill=Distillation(logits, hard=hard),
        )

    kept_before = kept()
    with frozen(mask.model):
        if keep is None:
            history = fit_gates(config)
        else:
            history = fit_to_keep(mask, keep, kept, fit_gates, config)
    return MaskHistory(**vars(history), kept_before=kept_before, kept=kept())


def _kept(mask: LearnedMask, data: Data, wanted: Tensor) -> float:
    """Return the fraction of all nodes that have the wanted class with the mask."""
    return (predict_logits(mask, data).argmax(1) == wanted).double().mean().item()


def logits_to_keep(model: Module, data: Data, logits: Tensor | None) -> Tensor:
    """Return the given logits if they fit the graph; by default those of the model."""
    found = predict_logits(model, data) if logits is None else logits
    what = "the output of the model" if logits is None else "'logits'"
    if found.dim() != 2 or found.size(0) != data.num_nodes:
        raise ValueError(
            f"{what} must have one row for each of the {data.num_nodes} nodes (got "
            f"{list(found.shape)})"
        )
    if found.size(1) < 2:
        raise ValueError(
            f"{what} must have at least two columns, one for each class (got "
            f"{list(found.shape)}); for one logit z per node use [0, z]"
        )
    if not found.isfinite().all():
        raise ValueError(f"{what} must be finite (got NaN or infinity)")
    return found
