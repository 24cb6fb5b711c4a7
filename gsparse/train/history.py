"""Record of a fit."""

from dataclasses import dataclass, field
from statistics import median

WARM_UP = 3  # epochs excluded from timings, since first calls compile and fill caches


@dataclass
class History:
    """Record of a fit. Scores are fractions, times are in seconds."""

    best_epoch: int = 0
    val_score: float = float("-inf")
    val_loss: float = float("inf")
    num_epochs: int = 0
    train_seconds: list[float] = field(default_factory=list, repr=False)
    eval_seconds: list[float] = field(default_factory=list, repr=False)

    @property
    def epoch_seconds(self) -> float:
        """Median time of a training epoch, without the warm-up."""
        return median(self.train_seconds[WARM_UP:] or self.train_seconds)

    @property
    def infer_seconds(self) -> float:
        """Median time of a forward pass without gradients, without the warm-up."""
        return median(self.eval_seconds[WARM_UP:] or self.eval_seconds)
