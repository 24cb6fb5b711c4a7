"""Build a pruner from the declaration of its method, a model and a graph."""

from typing import Any

from torch.nn import Module
from torch.nn.functional import cross_entropy
from torch_geometric.data import Data

from gsparse.nn import accelerate
from gsparse.nn.calling import model_arguments
from gsparse.prune import Criterion, Pruner, WeightPruner
from gsparse.prune.surgeons.fisher import Fisher
from gsparse.train.fit import prepare

# ruff: noqa: ANN401 (options of a pruner, losses)


def make_pruner(
    method: type[Criterion] | type[WeightPruner],
    model: Module,
    data: Data,
    *,
    sparsity: float,
    num_steps: int,
    seed: int,
    fisher: Fisher | None = None,
    **options: Any,
) -> WeightPruner:
    """Build the pruner of a model by a criterion, or by a pruner with one of its own.

    The constructor of the method is given what :attr:`needs` declares.

    Args:
        method: A class of :func:`gsparse.prune.by_name.methods`, or one like these.
        model: Changed in place.
        data: The graph with ``x``, ``y`` and ``train_mask``.
        sparsity: Fraction of the targeted weights to remove.
        num_steps: Steps of a training in which weights are removed.
        seed: Random seed of the method.
        fisher: Fisher matrix of the weights; ``None`` takes a true one if needed.
        **options: Other arguments of the pruner.

    Example:
        >>> from gsparse.data import planted_partition, split
        >>> from gsparse.prune import SNIP
        >>> from gsparse.train import GCN
        >>> from gsparse.train.make_pruner import make_pruner
        >>> data = planted_partition(100, num_classes=2, seed=7)
        >>> data = split(data, "60-20-20", seed=7)
        >>> model = GCN(data.num_features, 8, 2)
        >>> make_pruner(SNIP, model, data, sparsity=0.5, num_steps=100, seed=7)
        Pruner(SNIP(), sparsity=0.5)
    """
    given = prepare(data, "train_mask")
    train, example = given.train_mask, model_arguments(given)
    target = given.y[train]

    def losses(reduction: str = "none") -> Any:
        return cross_entropy(model(*example)[train], target, reduction=reduction)

    offered = {
        "loss": lambda: losses("mean"),
        "losses": losses,
        "logits": lambda: model(*example),
        "example": example,
        "fisher": fisher or "true",
        "num_steps": num_steps,
        "seed": seed,
    }
    needed: dict[str, Any] = {name: offered[name] for name in method.needs}
    if method.double_backward:
        accelerate(model, attention="reference")
    try:
        if issubclass(method, Criterion):
            return Pruner(model, method(**needed), sparsity=sparsity, **options)
        return method(model, sparsity=sparsity, **needed, **options)
    finally:
        if method.double_backward:
            accelerate(model)
