"""Settings of a fit, and the optimiser that they define."""

import math
from dataclasses import dataclass, fields
from typing import Literal, get_args

import torch
from torch.nn import Module, ModuleList

from gsparse.train.scores import check_metric

Optimizer = Literal["adam", "adamw", "sgd"]

LATER = ("optimizer", "momentum", "hops", "validate_every")
"""Settings that were added after the first published rows."""


@dataclass(frozen=True)
class FitConfig:
    """Settings of a fit.

    Args:
        lr: Learning rate.
        weight_decay: L2 penalty, added to the gradient; for ``"adamw"`` the decoupled
            decay, which subtracts ``lr * weight_decay`` times each weight in each step.
        decay_first_layer_only: Whether to apply the penalty to the first layer only, as
            in the GCN paper.
        epochs: Maximum number of epochs.
        patience: Number of epochs without a better validation score or loss before the
            fit stops.
        metric: ``"accuracy"`` or ``"roc_auc"``.
        optimizer: ``"adam"``, ``"adamw"`` or ``"sgd"``.
        momentum: Momentum of ``"sgd"``, in [0, 1).
        hops: Number of hops of the :func:`~gsparse.train.receptive_field` of the
            training and of the validation nodes to which the graph is restricted. With
            few labels this is less work and gives the same result, except that dropout
            samples other numbers. Recorded times are for the restricted graphs.
            ``None`` uses the whole graph.
        validate_every: Number of epochs between validations; the last epoch is always
            validated. Values above 1 save time.

    Raises:
        ValueError: If a number is out of range, or the metric or optimiser is unknown.
    """

    lr: float = 0.01
    weight_decay: float = 5e-4
    decay_first_layer_only: bool = False
    epochs: int = 300
    patience: int = 100
    metric: str = "accuracy"
    optimizer: Optimizer = "adam"
    momentum: float = 0.0
    hops: int | None = None
    validate_every: int = 1

    def __post_init__(self) -> None:
        check_metric(self.metric)
        for name in ("lr", "epochs", "patience"):
            if getattr(self, name) <= 0:
                raise ValueError(
                    f"'{name}' must be positive (got {getattr(self, name)})"
                )
        if not math.isfinite(self.lr):
            raise ValueError(f"'lr' must be positive and finite (got {self.lr})")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(
                f"'weight_decay' must be finite and not negative "
                f"(got {self.weight_decay})"
            )
        if self.optimizer not in get_args(Optimizer):
            known = ", ".join(get_args(Optimizer))
            raise ValueError(
                f"'optimizer' must be one of {known} (got {self.optimizer!r})"
            )
        if not 0 <= self.momentum < 1:
            raise ValueError(f"'momentum' must be in [0, 1) (got {self.momentum})")
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(
                f"'momentum' needs optimizer='sgd' (got {self.momentum} with "
                f"{self.optimizer!r}); omit it"
            )
        if self.hops is not None and self.hops < 1:
            raise ValueError(f"'hops' must be at least 1 or None (got {self.hops})")
        if not 1 <= self.validate_every <= self.patience:
            raise ValueError(
                f"'validate_every' must be at least 1 and at most 'patience', which is "
                f"{self.patience} (got {self.validate_every})"
            )

    def __repr__(self) -> str:
        # Rows are identified by this text, so later settings show only if not default.
        shown = [
            f"{it.name}={getattr(self, it.name)!r}"
            for it in fields(self)
            if it.name not in LATER or getattr(self, it.name) != it.default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


def make_optimizer(
    model: Module, config: FitConfig, allow_frozen: bool = False
) -> torch.optim.Optimizer:
    """Return the optimiser of the trainable parameters.

    Raises:
        ValueError: If there is no trainable parameter and ``allow_frozen`` is false, or
            only the first layer decays and the model has no ``layers``.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters and not allow_frozen:
        held = sum(1 for _ in model.parameters())
        raise ValueError(
            f"'model' must have a trainable parameter (got {held} in "
            f"{type(model).__name__}, none of which requires a gradient)"
        )
    groups = [{"params": parameters, "weight_decay": config.weight_decay}]
    if config.decay_first_layer_only:
        decayed = {id(p) for p in _first_layer(model).parameters()}
        first = [p for p in parameters if id(p) in decayed]
        others = [p for p in parameters if id(p) not in decayed]
        groups = [
            {"params": first, "weight_decay": config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
    # A fused step is one pass over each parameter instead of eight small operations.
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=config.lr, momentum=config.momentum, fused=True
        )
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.lr, fused=True)


def _first_layer(model: Module) -> Module:
    """Return the first element of ``layers`` in the model or in the model that it
    wraps.
    """
    for module in model.modules():
        layers = getattr(module, "layers", None)
        if isinstance(layers, ModuleList) and len(layers) > 0:
            return layers[0]
    raise ValueError(
        f"'decay_first_layer_only' needs a model with a ModuleList 'layers' "
        f"(got {type(model).__name__})"
    )
