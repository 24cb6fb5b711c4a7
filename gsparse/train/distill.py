"""Distillation: train a model to match the predictions of another one."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gsparse.train.losses import (
    log_probabilities,
    mean_cross_entropy,
    mean_divergence,
)


@dataclass(frozen=True, eq=False)
class Distillation:
    r"""A distillation term over all nodes that :func:`~gsparse.train.fit` adds to the
    loss.

    With soft targets it is :math:`T^2\, KL(\sigma(t / T) \| \sigma(s / T))` for the
    teacher's logits :math:`t` and the model's logits :math:`s`, as in the `"Distilling
    the Knowledge in a Neural Network" <https://arxiv.org/abs/1503.02531>`_ paper; with
    ``hard`` it is the cross entropy with the teacher's most likely class.

    The accuracy of a distilled model does not show the value of its edges: compare it
    with a distilled MLP and a distilled :class:`~gsparse.transforms.RandomEdge`.

    Args:
        logits: The teacher's logits.
        weight: Factor of the term.
        temperature: :math:`T`.
        hard: Whether to learn only the teacher's class, not its probabilities.

    Shapes:
        - **logits:** :math:`(N, C)`

    Raises:
        ValueError: If the weight is negative or the temperature not positive.
    """

    logits: Tensor
    weight: float = 1.0
    temperature: float = 1.0
    hard: bool = False

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise ValueError(f"'weight' must not be negative (got {self.weight})")
        if not self.temperature > 0:
            raise ValueError(f"'temperature' must be positive (got {self.temperature})")

    def loss(self, out: Tensor) -> Tensor:
        """Return the term for the logits of a model.

        Shapes:
            - **out:** :math:`(N, C)`
        """
        if out.shape != self.logits.shape:
            raise ValueError(
                f"'logits' must have the shape of the model's output "
                f"(got {list(self.logits.shape)}, expected {list(out.shape)})"
            )
        if self.hard:
            return self.weight * mean_cross_entropy(out, self._target)
        term = mean_divergence(out / self.temperature, self._target)
        return self.weight * self.temperature**2 * term

    @cached_property
    def _target(self) -> Tensor:
        """The teacher's class of each node, or its log-probabilities with one row per
        class.
        """
        with torch.no_grad():
            if self.hard:
                return self.logits.argmax(1)
            return log_probabilities(self.logits / self.temperature)
