"""Base class of all weight pruners: masks, a budget and the training protocol."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from torch import Tensor
from torch.nn import Module

from gsparse.edges import check_sparsity
from gsparse.prune.declarations import Declared
from gsparse.prune.masks import Report, WeightMasks
from gsparse.prune.targets import Selector


class WeightPruner(Declared, ABC):
    """Holds the masks of a model and brings them to a sparsity.

    All pruners share one protocol::

        loss = loss + pruner.penalty()
        loss.backward()
        optimizer.step()
        pruner.step()
        ...
        pruner.finalize()

    :func:`gsparse.train.fit` follows it when it is given the pruner.

    Args:
        model: Any module; changed in place, its parameters stay the same objects.
        sparsity: Fraction of the targeted weights to remove, in [0, 1).
        targets: Parameters to prune; see :func:`~gsparse.prune.find_targets`.
        exclude: Parameters to leave out of ``targets``.

    Raises:
        ValueError: If the sparsity is out of range, nothing is left to prune, or the
            model is on the meta device.
    """

    takes_structure: ClassVar[bool] = False
    """Whether the constructor takes ``structure`` and ``protect``."""

    num_samples = 1
    """Forward passes whose losses a training step averages."""

    def __init__(
        self,
        model: Module,
        *,
        sparsity: float,
        targets: Iterable[Selector] | Selector | None = None,
        exclude: Iterable[Selector] | Selector = (),
    ) -> None:
        check_sparsity(sparsity)
        self.sparsity = sparsity
        self.num_steps = 0
        self.masks = WeightMasks(model, targets, exclude)
        self._check_values()
        self._hold_masks()

    def _check_values(self) -> None:
        """Refuse weights on the meta device."""
        for name, parameter in self.masks.parameters().items():
            if parameter.is_meta:
                self.masks.undo()
                raise ValueError(
                    f"{name!r} must have values before it is pruned (got the meta "
                    "device); load a checkpoint, or to_empty() and reset_parameters(), "
                    "first"
                )

    def _hold_masks(self) -> None:
        """Register this pruner with every mask that it holds."""
        for name in self.masks.targets:
            self.masks.module(name).pruner = self

    @property
    def model(self) -> Module:
        """The model that is pruned."""
        return self.masks.model

    @property
    @abstractmethod
    def done(self) -> bool:
        """Whether the sparsity is reached; no earlier epoch can be the best one."""

    def penalty(self) -> Tensor:
        """Return the term that is added to the loss; 0 for most pruners."""
        return next(iter(self.masks.parameters().values())).new_zeros(())

    @abstractmethod
    def step(self) -> None:
        """Update the masks; called after each step of the optimiser."""

    @abstractmethod
    def finalize(self) -> None:
        """Go to the target sparsity exactly, from whatever has been reached."""

    def report(self) -> Report:
        """Return how many of the targeted weights are left in each layer."""
        return self.masks.report()

    def undo(self) -> None:
        """Remove the masks; the model is dense again."""
        self.masks.undo()

    def make_permanent(self) -> None:
        """Write the zeros into the weights and remove the masks.

        Raises:
            RuntimeError: If the pruner has not reached its sparsity yet.
        """
        self._check_done()
        self.masks.make_permanent()

    def _check_done(self) -> None:
        if not self.done and not self.masks.gone:
            raise RuntimeError(
                f"{self!r} must be done before make_permanent() (got "
                f"{self.report().sparsity:.2%} of the weights removed after "
                f"{self.num_steps} steps); call finalize() first to go to the wanted "
                "sparsity now, or undo() to take the masks away"
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the tensors and numbers needed to resume a run; save them with the
        model's ``state_dict``.
        """
        return {"num_steps": self.num_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a :meth:`state_dict`."""
        self.num_steps = int(state["num_steps"])

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy, which holds the masks of its own model."""
        vars(self).update(state)
        if not self.masks.gone:
            self._hold_masks()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(sparsity={self.sparsity})"
