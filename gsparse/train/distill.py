"""Distillation: a model learns to predict what another one predicts."""

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
    r"""A term of the loss that :func:`~gsparse.train.fit` adds, over all nodes.

    With soft targets it is :math:`T^2\, KL(\sigma(t / T) \| \sigma(s / T))` of the
    teacher's scores :math:`t` and the model's :math:`s`, as in the `"Distilling the
    Knowledge in a Neural Network" <https://arxiv.org/abs/1503.02531>`_ paper; with
    ``hard`` the cross entropy with the teacher's likeliest class.

    What is distilled into a model is no longer earned by its edges: show a distilled
    MLP and a distilled :class:`~gsparse.transforms.RandomEdge` beside it.

    Args:
        scores: The teacher's class scores before the softmax.
        weight: Factor of the term.
        temperature: :math:`T`.
        hard: Learn the class and not how sure the teacher is.

    Shapes:
        - **scores:** :math:`(N, C)`

    Raises:
        ValueError: If the weight is negative or the temperature not positive.
    """

    scores: Tensor
    weight: float = 1.0
    temperature: float = 1.0
    hard: bool = False

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise ValueError(f"'weight' must not be negative (got {self.weight})")
        if not self.temperature > 0:
            raise ValueError(f"'temperature' must be positive (got {self.temperature})")

    def loss(self, out: Tensor) -> Tensor:
        """The term for the class scores of a model.

        Shapes:
            - **out:** :math:`(N, C)`
        """
        if out.shape != self.scores.shape:
            raise ValueError(
                f"'scores' must have the shape of the model's output "
                f"(got {list(self.scores.shape)}, expected {list(out.shape)})"
            )
        if self.hard:
            return self.weight * mean_cross_entropy(out, self._target)
        term = mean_divergence(out / self.temperature, self._target)
        return self.weight * self.temperature**2 * term

    @cached_property
    def _target(self) -> Tensor:
        """The teacher's class of each node or, a row a class, its log-probabilities."""
        with torch.no_grad():
            if self.hard:
                return self.scores.argmax(1)
            return log_probabilities(self.scores / self.temperature)
