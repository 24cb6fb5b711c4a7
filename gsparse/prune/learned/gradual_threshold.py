"""Gradual pruning by a rising threshold."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.edges import budget, keep_largest
from gsparse.prune.schedule import to_steps
from gsparse.prune.targets import Selector, find_targets
from gsparse.prune.weight_pruner import WeightPruner


def threshold(
    step: int,
    q: float,
    start: int,
    ramp: int,
    end: int,
    every: int = 1,
    ratio: float = 1.5,
) -> float:
    r"""Return the threshold after ``step`` steps.

    It rises with slope :math:`\theta` up to ``ramp``, then with slope :math:`\varphi`
    up to ``end``, and is constant elsewhere and between two multiples of ``every``.

    Args:
        step: Number of optimiser steps so far.
        q: Final threshold, up to the rise of one step.
        start: The last step without a threshold.
        ramp: The first step of the steeper slope.
        end: The first step with the final threshold.
        every: Steps between two rises.
        ratio: :math:`\varphi / \theta`; with 2 the threshold ends above ``q``.

    Returns:
        :math:`\varepsilon`; at ``end`` it is :math:`q (1 + 1 / (r - s + 1.5 (e - r)))`
        for every = 1 and ratio = 1.5.

    Example:
        >>> from gsparse.prune.learned.gradual_threshold import threshold
        >>> [round(threshold(i, 1.0, start=0, ramp=4, end=8), 2) for i in range(1, 9)]
        [0.2, 0.3, 0.4, 0.65, 0.8, 0.95, 1.1, 1.1]
    """
    i = min(step, end - 1) // every * every
    if i <= start:
        return 0.0
    theta = 2 * q * every / (2 * (ramp - start) + 3 * (end - ramp))  # Eq. (1)
    if i < ramp:
        return theta * (i - start + 1) / every
    return theta * (ramp - start + 1 + ratio * (i - ramp + 1)) / every


class GradualThreshold(WeightPruner):
    r"""Removes weights that fall below a rising threshold while the model is trained,
    from the `"Exploring Sparsity in Recurrent Neural Networks"
    <https://arxiv.org/abs/1704.05119>`_ paper by Narang et al.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.prune import GradualThreshold
        >>> model = GCN(50, 8, num_layers=2, out_channels=3)
        >>> pruner = GradualThreshold(model, sparsity=0.9, num_steps=40)
        >>> for _ in range(20):
        ...     pruner.step()
        >>> pruner.done, pruner.report().num_kept
        (True, 40)

    Every ``every`` steps the weights below :math:`\varepsilon_g` are removed for good;
    :math:`\varepsilon_g` is the :func:`threshold` of a group :math:`g` of layers of one
    type. It ends at :math:`q_g`, a quantile of :math:`|w|` over the group in an
    existing dense model. A weight that training does not need is removed early, when
    the threshold passes it.

    **When to use it.** If layers of different kinds want thresholds of their own and
    the training is long.

    **When not to use it.** In a short training, or for one ranking over all layers:
    :class:`~gsparse.prune.Magnitude` with :class:`~gsparse.prune.CubicSchedule` reaches
    the same sparsity without a ``q``. The weights must not shrink as a whole while the
    threshold rises (strong weight decay, or a fresh model with large initial weights):
    with ``percentile`` a whole group can then be removed.

    **Cost.** One comparison per weight and cut, and one selection when a group meets
    its budget; little more than a plain epoch. Memory is one mask per weight.

    Differences from the paper: with ``sparsity``, :math:`q_g` is the quantile of that
    level, no group falls below its share, and the last cut meets it exactly whatever
    the weights have become; ``percentile`` is the paper's parameter, whose sparsity
    depends on the weights. The start, ramp and end are fractions of the steps, because
    with a full batch an epoch is one step. Without ``reference`` the model's own
    weights at the first cut give :math:`q_g`, so start from a trained model.

    Args:
        sparsity: Fraction of the weights to remove in each group, in [0, 1), to the
            nearest weight.
        percentile: Percentile of :math:`|w|` at which the threshold ends, in (0, 100);
            instead of ``sparsity``. The paper uses 90.
        num_steps: Steps of the whole training, for ``start``, ``ramp`` and ``end``.
        start: The last step without a threshold; a ``float`` is a fraction of
            ``num_steps``, an ``int`` a number of steps.
        ramp: The step from which the threshold rises faster.
        end: The step from which the masks do not change.
        every: Steps between two cuts.
        ratio: How much faster the threshold rises after ``ramp``; 1.5 to 2 in the
            paper, which ends at up to 1.22 q.
        groups: Selector of the parameters of each group by the name of the group; the
            first match counts. Every layer that no selector matches is a group.
        reference: A trained dense model of the same shape, which gives :math:`q_g`.

    The other arguments are those of :class:`~gsparse.prune.Pruner`.

    Raises:
        ValueError: If not exactly one of ``sparsity`` and ``percentile`` is given, the
            steps are out of order, a fraction has no ``num_steps``, a group is empty,
            or the reference has other weights.
    """

    when = "training"
    needs = ("num_steps",)

    def __init__(
        self,
        model: Module,
        *,
        sparsity: float | None = None,
        percentile: float | None = None,
        num_steps: int | None = None,
        start: int | float = 0.05,
        ramp: int | float = 0.25,
        end: int | float = 0.5,
        every: int = 1,
        ratio: float = 1.5,
        groups: Mapping[str, Selector] | None = None,
        reference: Module | None = None,
        targets: Iterable[Selector] | Selector | None = None,
        exclude: Iterable[Selector] | Selector = (),
    ) -> None:
        if (sparsity is None) == (percentile is None):
            raise ValueError(
                f"exactly one of 'sparsity' and 'percentile' must be given "
                f"(got {sparsity} and {percentile})"
            )
        if percentile is not None and not 0 < percentile < 100:
            raise ValueError(f"'percentile' must be in (0, 100) (got {percentile})")
        if every < 1:
            raise ValueError(f"'every' must be at least 1 (got {every})")
        if ratio <= 0:
            raise ValueError(f"'ratio' must be positive (got {ratio})")
        self.start, self.ramp, self.end = (
            to_steps(name, value, num_steps)
            for name, value in [("start", start), ("ramp", ramp), ("end", end)]
        )
        self.every, self.ratio, self.percentile = every, ratio, percentile
        self._check_order()
        level = sparsity if percentile is None else percentile / 100
        super().__init__(
            model,
            sparsity=level,  # type: ignore[arg-type]
            targets=targets,
            exclude=exclude,
        )
        self._done = False
        try:
            self.groups = self._grouped(groups or {})
            self._q = {} if reference is None else self._quantiles(reference)
        except Exception:
            self.undo()
            raise

    @property
    def done(self) -> bool:
        """Whether the last cut is made."""
        return self._done

    def step(self) -> None:
        """Remove the weights below the threshold, if it is time for a cut."""
        if self.done:
            return
        self.num_steps += 1
        i = self.num_steps
        if i <= self.start or i % self.every:
            return
        self._cut(i, last=i + self.every >= self.end)

    def finalize(self) -> None:
        """Make the last cut at once, if it has not been made."""
        if not self.done:
            self._cut(self.end, last=True)

    def thresholds(self, step: int | None = None) -> dict[str, float]:
        """Return the threshold of each group at a step, by default the current one."""
        step = self.num_steps if step is None else step
        self._q = self._q or self._quantiles(self.model)
        rest = (self.start, self.ramp, self.end, self.every, self.ratio)
        return {group: threshold(step, q, *rest) for group, q in self._q.items()}

    @torch.no_grad()
    def _cut(self, step: int, last: bool) -> None:
        weights, keep = self.masks.parameters(), {}
        for group, bar in self.thresholds(step).items():
            names = self.groups[group]
            there = torch.cat([self.masks[name].flatten() for name in names])
            # A removed weight is no candidate: masks only lose entries.
            size = _sizes(weights, names).masked_fill(~there, -torch.inf)
            k = int((size >= bar).sum())
            if self.percentile is None:
                wanted = self._budgets()[group]
                k = wanted if last else max(k, wanted)
            kept = keep_largest(size, k).split([weights[n].numel() for n in names])
            for name, part in zip(names, kept, strict=True):
                keep[name] = part.view_as(weights[name])
        self.masks.set(keep)
        self._done = last

    def _budgets(self) -> dict[str, int]:
        """Return how many weights each group keeps; in total the budget of all."""
        found, total = {}, 0
        for group, names in self.groups.items():
            before = budget(total, self.sparsity)
            total += sum(self.masks[name].numel() for name in names)
            found[group] = budget(total, self.sparsity) - before
        return found

    def _quantiles(self, model: Module) -> dict[str, float]:
        weights = dict(model.named_parameters())
        for name, own in self.masks.parameters().items():
            if name not in weights or weights[name].shape != own.shape:
                raise ValueError(
                    f"'reference' must have a parameter {name!r} of shape "
                    f"{list(own.shape)}, as the model (got {type(model).__name__})"
                )
        return {
            group: float(_quantile(_sizes(weights, names), self.sparsity))
            for group, names in self.groups.items()
        }

    def _grouped(self, groups: Mapping[str, Selector]) -> dict[str, list[str]]:
        left = dict(self.masks.targets)
        found: dict[str, list[str]] = {}
        for group, selector in groups.items():
            chosen = {it.name for it in find_targets(self.model, selector)}
            found[group] = [name for name in left if name in chosen]
            if not found[group]:
                raise ValueError(
                    f"'groups' must give each group a pruned parameter that no group "
                    f"before it has (got none for {group!r} of: {', '.join(left)})"
                )
            left = {name: it for name, it in left.items() if name not in chosen}
        for name, target in left.items():
            found.setdefault(target.layer, []).append(name)
        return found

    def _check_order(self) -> None:
        if not 0 <= self.start <= self.ramp <= self.end or self.start == self.end:
            raise ValueError(
                f"'start', 'ramp' and 'end' must be 0 <= start <= ramp <= end and "
                f"start < end (got {self.start}, {self.ramp} and {self.end} steps)"
            )
        if (self.end - 1) // self.every * self.every <= self.start:
            raise ValueError(
                f"'every' must have a multiple between 'start' and 'end' "
                f"(got {self.every}, {self.start} and {self.end})"
            )

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"done": self._done, "q": dict(self._q)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._done, self._q = bool(state["done"]), dict(state["q"])


def _sizes(weights: Mapping[str, Tensor], names: Iterable[str]) -> Tensor:
    return torch.cat([weights[name].detach().abs().flatten() for name in names])


def _quantile(values: Tensor, level: float) -> Tensor:
    """Return a quantile of any number of values (torch.quantile stops at 2^24)."""
    return values.kthvalue(min(round(level * values.numel()) + 1, values.numel()))[0]
