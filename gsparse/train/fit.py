"""Fit a node classifier with early stopping on validation scores."""

import copy
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data, HeteroData

from gsparse.kernels.tensor_cache import TensorCache
from gsparse.nn.budgeted_mask import BudgetedMask
from gsparse.nn.calling import Arguments, call_arguments
from gsparse.nn.density import while_fitting
from gsparse.nn.evaluating import evaluating
from gsparse.nn.seeded import seeded
from gsparse.nn.stale_caches import forget, fresh_caches
from gsparse.prune import WeightPruner
from gsparse.train.distill import Distillation
from gsparse.train.features import sparse_features
from gsparse.train.fit_config import FitConfig, make_optimizer
from gsparse.train.history import History
from gsparse.train.losses import mean_cross_entropy
from gsparse.train.receptive_field import check_field, receptive_field
from gsparse.train.scores import check_class_numbers, check_metric, score

_FEATURES: TensorCache[Tensor | None] = TensorCache(max_entries=4)


def fit(
    model: Module,
    data: Data,
    *,
    config: FitConfig | None = None,
    seed: int = 0,
    eval_data: Data | None = None,
    callback: Callable[[int, float, float], None] | None = None,
    distill: Distillation | None = None,
    pruner: WeightPruner | None = None,
) -> History:
    """Fit a model to the nodes in ``data.train_mask``; test nodes are never used.

    Features of which fewer than 25 % are non-zero are converted once to
    :class:`~gsparse.train.SparseFeatures`. The model ends with the weights of the epoch
    with the best validation score; ties are broken by the lower loss. With a learned
    mask an epoch can be chosen, and patience starts to count, only after the ramp of
    its density; if the fit ends before, the model keeps its last weights.

    Layers with ``cached=True`` cache the normalised graph during the fit. Their caches
    are cleared before and afterwards, so that they are never used for another graph.

    Args:
        model: Called as ``model(x, edge_index)``, with further arguments if its
            ``forward`` takes them and the data has them, see
            :func:`~gsparse.nn.calling.call_arguments`; initialised by the caller. If it
            has a method ``penalty``, its result is added to the loss.
        data: The graph with ``x``, ``y``, ``train_mask`` and ``val_mask``.
        config: Settings of the fit.
        seed: Random seed of the fit; torch's generator is restored afterwards.
        eval_data: Another graph to validate on, for inductive learning.
        callback: Called after every epoch with the epoch, the loss and the validation
            score, which is NaN in epochs without validation.
        distill: Predictions of another model, to be learned at all nodes.
        pruner: Pruner of the model's weights. Its penalty is added to the loss, and its
            ``step()`` is called after every optimiser step. An epoch can be chosen, and
            patience starts to count, only after the pruner has reached its sparsity.
            Model and pruner end in the state of the chosen epoch. The caller calls
            ``pruner.finalize()``.

    Returns:
        The history.

    Shapes:
        - **data.x:** :math:`(N, F)`
        - **data.y, data.train_mask, data.val_mask:** :math:`(N,)`

    Raises:
        ValueError: If a mask is missing or empty, the model has no trainable parameter,
            or model and data are on different devices.
        TypeError: If the model takes the graph in another form.
        RuntimeError: If the loss is not finite, or the pruner has not reached its
            sparsity after the last epoch.
    """
    config = config or FitConfig()
    data = prepare(data, "train_mask")
    eval_data = prepare(data if eval_data is None else eval_data, "val_mask")
    if config.hops is not None:
        if distill is not None:
            raise ValueError(
                f"'hops' must be None with 'distill', which learns at all nodes "
                f"(got {config.hops})"
            )
        eval_data = _field(model, eval_data, "val_mask", config.hops)
        data = _field(model, data, "train_mask", config.hops)
    train = data.train_mask.nonzero().view(-1)
    target = data.y[train]
    optimizer = make_optimizer(model, config, allow_frozen=pruner is not None)
    given, eval_given = call_arguments(model, data), call_arguments(model, eval_data)
    another_graph = not given.same_tensors(eval_given)
    masks = [it for it in model.modules() if isinstance(it, BudgetedMask)]
    history, best, held, since = History(), {}, {}, 0
    with seeded(seed), while_fitting(), fresh_caches(model):
        for epoch in range(1, config.epochs + 1):
            loss = _step(
                model, given, train, target, optimizer, history, distill, pruner
            )
            val_loss = val_score = float("nan")
            if epoch % config.validate_every == 0 or epoch == config.epochs:
                if another_graph:
                    forget(model)
                val_loss, val_score = _validate(
                    model, eval_given, eval_data, config.metric, history
                )
                forget(model, inference_only=not another_graph)
            history.num_epochs = epoch
            if callback is not None:
                callback(epoch, loss, val_score)
            if pruner is not None and not pruner.done:
                continue
            if any(mask.ramping for mask in masks):
                continue
            since += 1
            # NaN is never better.
            if (val_score, -val_loss) > (history.val_score, -history.val_loss):
                best = copy.deepcopy(model.state_dict())
                if pruner is not None:
                    held = copy.deepcopy(pruner.state_dict())
                history.best_epoch = epoch
                history.val_score, history.val_loss = val_score, val_loss
                since = 0
            if since >= config.patience:
                break
    if pruner is not None and not pruner.done:
        raise RuntimeError(
            f"{pruner} has not reached its sparsity within {config.epochs} epochs; "
            "give it fewer steps, or fit for more epochs"
        )
    if masks and not best:  # the ramp has not ended
        history.best_epoch = history.num_epochs
        history.val_score, history.val_loss = val_score, val_loss
        return history
    if pruner is not None:
        pruner.load_state_dict(held)
    model.load_state_dict(best)
    return history


def evaluate(model: Module, data: Data, mask: str, metric: str = "accuracy") -> float:
    """Return the score of a model on the nodes of a mask, a fraction.

    The model runs in evaluation mode. The caches of layers with ``cached=True`` are
    cleared before and afterwards.

    Args:
        model: A fitted model; called as in :func:`fit`.
        data: The graph with ``x``, ``y`` and the mask.
        mask: Name of the mask, such as ``"test_mask"``.
        metric: ``"accuracy"`` or ``"roc_auc"``.
    """
    check_metric(metric)
    data = prepare(data, mask)
    with fresh_caches(model):
        out = _forward(model, call_arguments(model, data))
    return score(out[data[mask]], data.y[data[mask]], metric)


@torch.no_grad()
def predict_logits(model: Module, data: Data) -> Tensor:
    """Return the logits of every node in evaluation mode; the mode is restored.

    The model is called as in :func:`fit`. The caches of layers with ``cached=True`` are
    cleared before and afterwards.

    Shapes:
        - **output:** :math:`(N, C)`
    """
    with evaluating(model), fresh_caches(model):
        return call_arguments(model, prepare(data)).call(model)


def prepare(data: Data, mask: str | None = None) -> Data:
    """Return the checked graph, with sparse features if these are faster."""
    if isinstance(data, HeteroData):
        raise TypeError(
            "'data' must be one homogeneous graph, a Data (got HeteroData); make it "
            "homogeneous by data.to_homogeneous()"
        )
    for key in ("x",) if mask is None else ("x", "y", mask):
        if data.get(key) is None:
            raise ValueError(f"'data' must have {key!r} (got {sorted(data.keys())})")
    if mask is not None:
        _check_labels(data, mask)
    x = _FEATURES.get((data.x,), None, lambda: _converted(data.x))
    if x is not None:
        data = copy.copy(data)
        data.x = x
    return data


def _field(model: Module, data: Data, mask: str, hops: int) -> Data:
    part = receptive_field(data, mask, hops)
    check_field(model, data, part, mask, hops)
    return part


def _check_labels(data: Data, mask: str) -> None:
    if data[mask].dtype != torch.bool or data[mask].dim() != 1:
        raise ValueError(
            f"{mask!r} must be a bool vector "
            f"(got {data[mask].dtype}, {list(data[mask].shape)}); choose one split"
        )
    if not data[mask].any():
        raise ValueError(f"{mask!r} must not be empty")
    check_class_numbers(data.y)
    if (data.y[data[mask]] < 0).any():
        raise ValueError(f"{mask!r} must hold labelled nodes only (got labels below 0)")


def _converted(x: Tensor) -> Tensor | None:
    """Return converted features, or None instead of ``x`` itself if they stay
    the same.
    """
    found = sparse_features(x)
    return None if found is x else found


def _step(
    model: Module,
    given: Arguments,
    train: Tensor,
    target: Tensor,
    optimizer: torch.optim.Optimizer,
    history: History,
    distill: Distillation | None,
    pruner: WeightPruner | None,
) -> float:
    start = _now(target)
    model.train()
    optimizer.zero_grad()
    value, samples = 0.0, 1 if pruner is None else pruner.num_samples
    for _ in range(samples):
        out = given.call(model)
        loss = mean_cross_entropy(out[train], target)
        if distill is not None:
            loss = loss + distill.loss(out)
        if callable(getattr(model, "penalty", None)):
            loss = loss + model.penalty()  # type: ignore[operator]
        if pruner is not None:
            loss = loss + pruner.penalty()
        loss = loss / samples
        loss.backward()
        value += loss.item()
    optimizer.step()
    if pruner is not None:
        pruner.step()
    history.train_seconds.append(_now(target) - start)
    if value != value or value in (float("inf"), float("-inf")):
        raise RuntimeError(
            f"the loss is {value} after {len(history.train_seconds)} epochs; lower the "
            "learning rate, or look for NaN in the features"
        )
    return value


def _validate(
    model: Module, given: Arguments, data: Data, metric: str, history: History
) -> tuple[float, float]:
    start = _now(data.y)
    out = _forward(model, given)
    history.eval_seconds.append(_now(data.y) - start)
    out, y = out[data.val_mask], data.y[data.val_mask]
    return mean_cross_entropy(out, y).item(), score(out, y, metric)


def _forward(model: Module, given: Arguments) -> Tensor:
    model.eval()
    with torch.inference_mode():
        return given.call(model)


def _now(like: Tensor) -> float:
    if like.is_cuda:
        torch.cuda.synchronize(like.device)
    return time.perf_counter()
