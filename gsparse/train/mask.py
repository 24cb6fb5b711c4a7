"""Learn an edge mask that keeps the predictions of a trained model."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.nn.learned_mask import LearnedMask
from gsparse.train.distill import Distillation
from gsparse.train.fit import History, fit, predict_logits
from gsparse.train.fit_config import FitConfig

#: Gates are trained without weight decay, which would pull their log-odds to zero.
MASK_FIT = FitConfig(lr=0.05, weight_decay=0.0, epochs=500, patience=500)


def fit_mask(
    mask: LearnedMask,
    data: Data,
    *,
    logits: Tensor | None = None,
    hard: bool = True,
    config: FitConfig = MASK_FIT,
    seed: int = 0,
    callback: Callable[[int, float, float], None] | None = None,
) -> History:
    """Fit the gates so that the model keeps its predictions with fewer edges.

    The weights of ``mask.model``, which must be trained, are frozen. The gates are
    fitted to its predicted class at every node, labelled or not, and to the labels of
    the training nodes. The trained model thus helps to choose edges but does not change
    any weight. The gates end in the state of the epoch in which most nodes of the
    sparse graph kept their class; validation labels are not used. Choose a ``ramp`` of
    the mask that ends well before the last epoch. Afterwards the weights may be
    fine-tuned on the labels: ``fit(mask.model, mask.sparsify(data))``.

    Do not use such a mask with another model: it keeps the edges that these weights
    need, which may not be enough for a fresh model. It shows where edges change
    predictions, not where predictions are correct.

    Args:
        mask: A learned mask that wraps a trained model.
        data: The graph with ``x``, ``y`` and ``train_mask``.
        logits: Logits to keep; ``None`` uses those of ``mask.model``.
        hard: Whether to keep the most likely class. ``False`` keeps the probabilities,
            for ranking metrics such as ROC-AUC.
        config: Settings of the fit; its metric chooses the epoch.
        seed: Random seed of the fit.
        callback: See :func:`~gsparse.train.fit`.

    Returns:
        The history; ``val_score`` is the fraction of all nodes that keep their class.

    Shapes:
        - **logits:** :math:`(N, C)`

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
    if logits is None:
        logits = predict_logits(mask.model, data)
    wanted = copy.copy(data)
    wanted.y = logits.argmax(1)
    wanted.val_mask = torch.ones_like(wanted.y, dtype=torch.bool)
    with _resting(mask.model):
        return fit(
            mask,
            data,
            config=config,
            seed=seed,
            eval_data=wanted,
            callback=callback,
            distill=Distillation(logits, hard=hard),
        )


@contextmanager
def _resting(model: Module) -> Iterator[None]:
    """Freeze all parameters of a model within this context."""
    trained = [p for p in model.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
