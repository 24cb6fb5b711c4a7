"""Pruners and learned masks in a training by Lightning."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn import Module

from gsparse.nn.budgeted_mask import BudgetedMask
from gsparse.prune import WeightPruner

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

# ruff: noqa: ANN401 (arguments of hooks)

MISSING = "SparsityCallback needs the extra: pip install 'gsparse-gnn[lightning]'"


@lru_cache
def _callback_class() -> type["SparsityCallback"]:
    """Return a subclass that is one of Lightning's callbacks too.

    Raises:
        ImportError: If lightning is not installed.
    """
    try:
        from lightning.pytorch import Callback  # optional, and slow to import
    except ModuleNotFoundError:
        raise ImportError(MISSING) from None
    bases: Any = (SparsityCallback, Callback)
    return type("SparsityCallback", bases, {"__module__": __name__})


class SparsityCallback:
    """Runs pruners and learned masks in a training by Lightning.

    It does what a loop of one's own does::

        loss = loss + pruner.penalty()
        loss.backward()
        optimizer.step()
        pruner.step()
        ...
        pruner.finalize()

    The penalty is added to the loss before each backward pass, as a part of it where
    gradients are accumulated or scaled; the loss that the module logs is its own.
    :meth:`~gsparse.prune.WeightPruner.step` follows each step of the optimiser, and
    :meth:`~gsparse.prune.WeightPruner.finalize` the last one. The state of the pruners
    is part of Lightning's checkpoints; that of masks is part of the model.

    Do not use it with manual optimisation, where the loop is yours.

    Args:
        *parts: Pruners of the module or of a part of it, and learned masks in it, such
            as :class:`~gsparse.nn.KEdge`.

    Raises:
        ImportError: If lightning is not installed.
        TypeError: If an argument is neither a pruner nor a mask.
        ValueError: If there is none.

    Example:
        A pruner of a module that Lightning trains::

            pruner = GradualThreshold(module.model, sparsity=0.9, num_steps=500)
            trainer = Trainer(max_steps=600, callbacks=[SparsityCallback(pruner)])
            trainer.fit(module, loader)
            pruner.report().sparsity
    """

    def __new__(cls, *parts: WeightPruner | BudgetedMask) -> "SparsityCallback":
        return object.__new__(_callback_class())

    def __init__(self, *parts: WeightPruner | BudgetedMask) -> None:
        if not parts:
            raise ValueError("give a pruner or a mask (got none)")
        for part in parts:
            if not isinstance(part, WeightPruner | BudgetedMask):
                raise TypeError(
                    "SparsityCallback takes pruners and learned masks (got "
                    f"{type(part).__name__}); for a criterion give Pruner(model, ...)"
                )
        self.parts = parts
        self._num_steps = 0

    @property
    def pruners(self) -> list[WeightPruner]:
        """The pruners among the parts."""
        return [part for part in self.parts if isinstance(part, WeightPruner)]

    def on_train_start(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        """Check that the parts belong to the module and fit the trainer."""
        self._num_steps = trainer.global_step
        if not pl_module.automatic_optimization:
            raise ValueError(
                "'automatic_optimization' must be True (got False); with manual "
                "optimisation call penalty(), step() and finalize() yourself"
            )
        inside = {id(module) for module in pl_module.modules()}
        for part in self.parts:
            model = part if isinstance(part, Module) else part.model
            if id(model) not in inside:
                raise ValueError(
                    f"{type(part).__name__} must belong to a part of the module that "
                    f"is trained (got one of another {type(model).__name__})"
                )
        for pruner in self.pruners:
            if pruner.num_samples not in (1, trainer.accumulate_grad_batches):
                raise ValueError(
                    f"'accumulate_grad_batches' must be {pruner.num_samples}, the "
                    f"number of samples of {pruner!r} (got "
                    f"{trainer.accumulate_grad_batches})"
                )

    def on_before_backward(
        self, trainer: "Trainer", pl_module: "LightningModule", loss: Tensor
    ) -> None:
        """Add the penalties to the loss, in place."""
        for part in self.parts:
            penalty = part.penalty() / trainer.accumulate_grad_batches
            scaler = getattr(trainer.precision_plugin, "scaler", None)
            if scaler is not None:  # the loss is scaled already
                penalty = scaler.scale(penalty)
            loss += penalty.to(loss)

    def on_train_batch_end(
        self,
        trainer: "Trainer",
        pl_module: "LightningModule",
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Let the pruners follow a step of the optimiser, if there was one."""
        if trainer.global_step == self._num_steps:
            return  # gradients are accumulated
        self._num_steps = trainer.global_step
        for pruner in self.pruners:
            pruner.step()

    def on_train_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        """Bring the pruners to their sparsity."""
        for pruner in self.pruners:
            pruner.finalize()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the pruners, for Lightning's checkpoints."""
        return {"pruners": [pruner.state_dict() for pruner in self.pruners]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint.

        Raises:
            ValueError: If it has another number of pruners.
        """
        states = state_dict["pruners"]
        if len(states) != len(self.pruners):
            raise ValueError(
                f"the checkpoint must have the {len(self.pruners)} pruners of this "
                f"callback (got {len(states)})"
            )
        for pruner, state in zip(self.pruners, states, strict=True):
            pruner.load_state_dict(state)

    def __reduce__(self) -> Any:
        return SparsityCallback, self.parts, vars(self)

    def __repr__(self) -> str:
        names = [
            repr(part) if isinstance(part, WeightPruner) else type(part).__name__
            for part in self.parts
        ]
        return f"SparsityCallback({', '.join(names)})"
