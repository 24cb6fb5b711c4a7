"""ProbMask: learned probabilities of weights under one budget for all layers."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.utils.hooks import RemovableHandle

from gsparse.edges import budget, draw_seed, keep_largest
from gsparse.prune.learned.prob_mask_settings import (
    Ending,
    check_settings,
    learning_rate,
    temperature,
)
from gsparse.prune.learned.projection import project_to_budget
from gsparse.prune.learned.relaxed_bernoulli import RelaxedBernoulli, log_odds_of
from gsparse.prune.schedule import CubicSchedule, Schedule
from gsparse.prune.targets import Selector
from gsparse.prune.weight_pruner import WeightPruner

#: Fractions of the training at which the budget starts and ends to fall.
FIRST, LAST = 0.16, 0.6
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8  # of Adam, but with one second moment for all


class _Draw:
    """Hook before the forward passes of one model; a copy of it does nothing."""

    def __init__(self, pruner: "ProbMask | None" = None) -> None:
        self.pruner = pruner

    def __call__(self, model: Module, inputs: tuple[Any, ...]) -> None:
        if self.pruner is not None:
            self.pruner.draw(model.training)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Draw, ()


class ProbMask(WeightPruner):
    r"""Learns a probability for every weight under one budget for all layers, from the
    `"Effective Sparsification of Neural Networks with Global Sparsity Constraint"
    <https://arxiv.org/abs/2105.01571>`_ paper.

    Example:
        >>> import torch
        >>> from gsparse.prune import ProbMask
        >>> x = torch.eye(8).repeat(4, 1)
        >>> y = 2 * x[:, 3:5].sum(1, keepdim=True)  # only two inputs matter
        >>> model = torch.nn.Linear(8, 1, bias=False)
        >>> _ = torch.nn.init.ones_(model.weight)
        >>> pruner = ProbMask(model, sparsity=0.75, num_steps=100, seed=5)
        >>> optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        >>> for _ in range(100):
        ...     optimizer.zero_grad()
        ...     losses = [(model(x) - y).square().mean() for _ in range(2)]
        ...     (sum(losses) / 2).backward()
        ...     optimizer.step()
        ...     pruner.step()
        >>> pruner.finalize()
        >>> pruner.masks["weight"].nonzero()[:, 1]
        tensor([3, 4])

    Solves :math:`\min_{w, s} E_{m \sim \mathrm{Bern}(s)} L(w \odot m)` subject to
    :math:`0 \le s \le 1` and :math:`\sum_i s_i \le K`. Every forward pass in training
    draws relaxed masks (:class:`RelaxedBernoulli`), whose temperature falls from 1 to
    0.03; :meth:`step` updates :math:`s` by its gradient and projects it onto the
    constraint (:func:`~gsparse.prune.learned.projection.project_to_budget`). The budget
    :math:`K` is shared by all layers, so the density of each layer is learned; it falls
    between 16 % and 60 % of the steps. In evaluation the weights of largest :math:`s`
    are kept, exactly at the budget of the step.

    **How to train it.** Average the losses of two forward passes (``num_samples``)
    before each step, as :func:`gsparse.train.fit` does. Call the model as a whole and
    in ``train()`` mode: masks are drawn before its own forward pass, not before those
    of its layers. Train for some more epochs after :meth:`finalize`.

    Where :math:`s` is 0 or 1 the log-odds are infinite and there is no gradient, so a
    removed weight would never come back. Masks are therefore drawn from :math:`s`
    clamped to :math:`[\delta, 1 - \delta]`, :math:`\delta = 0.001`, and the gradient is
    passed on as if there were no clamp. A removed weight can then come back as long as
    masks are drawn, at the cost of one wrong mask entry in a thousand.

    Differences from the paper: Adam divides by one second moment of all gradients
    together, where the paper's code has one for each weight. With that, every
    probability moves equally fast however small its gradient is: features that no
    labelled node has get no gradient and are kept, while useful ones are removed. On
    Cora at 98 % this cost 2 to 3 points. The schedules run over steps, of which
    full-batch training has one per epoch, and the learning rate is larger for that
    reason. The clamp is added, the projection is exact, gradients are not clipped, and
    the masks of evaluation and, unless ``"sample"`` is asked for, of the end are the
    most probable weights instead of a draw.

    **When to use it.** At very high sparsity, if the density of each layer should be
    learned and the training is long enough for the schedules.

    **When not to use it.** If pruning has only a few steps
    (:class:`~gsparse.prune.Magnitude` needs none), or with several processes: each
    would learn probabilities of its own.

    **Cost.** One pass per sample and about twenty passes over the weights in each step.
    Memory is four numbers per weight.

    Args:
        num_steps: Steps of the whole training, for the schedules.
        loss: Returns the training loss of the model; for ``finalize="sample"``.
        lr: Initial learning rate of the probabilities, which falls to 0 like a cosine.
            0.1 was the best of 0.01 to 1 on Cora's validation nodes, in 300 steps.
        finalize: ``"topk"`` ends with the most probable weights, exactly at the budget;
            ``"sample"`` with the draw of lowest loss, whose expected number of weights
            is at most the budget.
        num_draws: Number of masks that ``"sample"`` compares.
        supermask: Learn only the probabilities; the targeted weights keep their values
            until :meth:`finalize` or :meth:`undo`.
        schedule: Schedule of the budget that ends within ``num_steps``; ``None`` for a
            :class:`~gsparse.prune.CubicSchedule` between 16 % and 60 % of the steps.
        seed: Random seed of the masks; ``None`` draws one.

    The other arguments are those of :class:`~gsparse.prune.Pruner`. The model has to be
    on the device that it is trained on.

    Raises:
        ValueError: If a number is out of range, ``"sample"`` has no loss, or nothing is
            left to prune.
    """

    revision = 2  # one second moment for all weights
    when = "training"
    needs = ("loss", "num_steps", "seed")
    num_samples = 2

    def __init__(
        self,
        model: Module,
        *,
        sparsity: float,
        num_steps: int,
        loss: Callable[[], Tensor] | None = None,
        lr: float = 0.1,
        finalize: Ending = "topk",
        num_draws: int = 10,
        supermask: bool = False,
        schedule: Schedule | None = None,
        targets: Iterable[Selector] | Selector | None = None,
        exclude: Iterable[Selector] | Selector = (),
        seed: int | None = None,
    ) -> None:
        check_settings(num_steps, loss, lr, finalize, num_draws, schedule)
        super().__init__(model, sparsity=sparsity, targets=targets, exclude=exclude)
        self.total_steps, self.loss, self.lr = num_steps, loss, lr
        self.ending, self.num_draws = finalize, num_draws
        self.schedule = schedule or CubicSchedule(
            int(FIRST * num_steps), int(LAST * num_steps)
        )
        weights = self.masks.parameters()
        first = next(iter(weights.values()))
        dtypes = {weight.dtype for weight in weights.values()}
        wide = torch.float64 in dtypes
        self.dtype = torch.float64 if wide else torch.float32
        self.sizes = [weight.numel() for weight in weights.values()]
        # One vector for all layers, so that a step is a few operations, and float64, so
        # that the constraint holds as computed.
        self.s = first.new_ones(sum(self.sizes), dtype=torch.float64)
        self.mean, self.square = torch.zeros_like(self.s), self.s.new_zeros(())
        self.s.requires_grad_()
        self.drawn_from: tuple[Tensor, Tensor] | None = None
        self.generator = torch.Generator(first.device)
        self.generator.manual_seed(draw_seed(seed) % 2**63)
        self.supermask, self.frozen = supermask, dict[str, bool]()
        self.hook: RemovableHandle | None = None
        self._start()

    @property
    def done(self) -> bool:
        """Whether the budget has reached its end."""
        return self.ended or self.num_steps >= self.schedule.end

    @property
    def temperature(self) -> float:
        """The temperature of the next masks."""
        return temperature(self.num_steps, self.total_steps)

    @property
    def reached(self) -> float:
        """The sparsity of the current step."""
        if self.done:
            return self.sparsity
        return self.schedule(self.num_steps, self.sparsity)

    def probabilities(self) -> dict[str, Tensor]:
        """Return the probability of every weight by parameter name."""
        return self._by_name(self.s.detach().clone())

    def draw(self, training: bool = True) -> None:
        """Draw the masks of a forward pass; without ``training`` use the hard ones."""
        if not training:
            return self.masks.soften(None)
        weights = self.masks.parameters()
        for name, weight in weights.items():
            if weight.device != self.s.device:
                raise ValueError(
                    f"{name!r} must be on the device of its probabilities, "
                    f"{self.s.device} (got {weight.device}); move the model first, "
                    "then prune it"
                )
        if self.drawn_from is None:
            s = self.s.detach().to(self.dtype)
            self.drawn_from = log_odds_of(s, self.temperature)
        mask = RelaxedBernoulli.apply(
            self.s, *self.drawn_from, self.temperature, self.generator
        )
        soft = self._by_name(mask)
        self.masks.soften({n: m.to(weights[n].dtype) for n, m in soft.items()})
        return None

    def step(self) -> None:
        """Update the probabilities, the budget, the temperature and the hard masks.

        Without a gradient, for example if the model has not been called, the
        probabilities stay. After :meth:`finalize` nothing changes.
        """
        if self.ended:
            return
        grad = self.s.grad
        if grad is not None:
            self._check_gradient(grad)
        self.num_steps += 1
        if grad is not None:
            self._adam(grad)
            self.s.grad = None
        kept = self.s.numel() * (1 - self.reached)
        if self.done:
            kept = float(budget(self.s.numel(), self.sparsity))
        with torch.no_grad():
            self.s.copy_(project_to_budget(self.s, kept))
        self._harden(self.reached)
        self.drawn_from = None
        self.masks.soften(None)  # frees the graph of the last pass

    def finalize(self) -> None:
        """End with the most probable weights, or with the draw of lowest loss.

        The masks of a model that was reset to an earlier epoch with the full sparsity
        are those of that epoch, and stay.
        """
        if self.ended:
            return
        reached = self.done
        self._end()
        if self.ending == "sample" and self.loss is not None:
            self._keep_best_draw(self.loss)
        elif not reached:
            self._harden(self.sparsity)

    def undo(self) -> None:
        """Remove the masks; the model is dense again."""
        self._end()
        super().undo()

    def make_permanent(self) -> None:
        """Write the zeros into the weights and remove the masks."""
        self._check_done()
        self._end()
        super().make_permanent()

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "ended": self.ended,
            "probabilities": self.s.detach().clone(),
            "mean": self.mean.clone(),
            "square": self.square.clone(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["probabilities"].shape != self.s.shape:
            raise ValueError(
                f"'state' must be of a model with {self.s.numel()} targeted weights "
                f"(got {state['probabilities'].numel()})"
            )
        super().load_state_dict(state)
        with torch.no_grad():
            self.s.copy_(state["probabilities"])
        self.mean.copy_(state["mean"])
        self.square.copy_(state["square"])
        self.generator.set_state(state["generator"])
        self.s.grad = self.drawn_from = None
        self.masks.soften(None)
        if state["ended"]:
            return self._end()
        self._start()
        self._harden(self.reached)
        return None

    def __getstate__(self) -> dict[str, Any]:
        state = self.generator.get_state()
        return vars(self) | {"hook": None, "drawn_from": None, "generator": state}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy, which draws the masks of its own model."""
        super().__setstate__(state)
        self.generator = torch.Generator(self.s.device)
        self.generator.set_state(state["generator"])
        if not self.ended:
            self._start()

    def _by_name(self, flat: Tensor) -> dict[str, Tensor]:
        """Split a vector over all weights into tensors of their shapes."""
        weights = self.masks.parameters()
        parts = zip(weights.items(), flat.split(self.sizes), strict=True)
        return {name: part.view_as(weight) for (name, weight), part in parts}

    def _check_gradient(self, grad: Tensor) -> None:
        if grad.sum().isfinite():
            return
        parts = self._by_name(~grad.isfinite())
        found = [f"{int(bad.sum())} in {name!r}" for name, bad in parts.items()]
        raise ValueError(
            f"gradients of probabilities must be finite (got {', '.join(found)} that "
            "are not): is the loss finite?"
        )

    @torch.no_grad()
    def _adam(self, grad: Tensor) -> None:
        t = self.num_steps
        self.mean.lerp_(grad, 1 - BETA1)
        self.square.lerp_(grad.square().mean(), 1 - BETA2)
        size = float(self.square / (1 - BETA2**t)) ** 0.5 + EPS
        rate = learning_rate(t - 1, self.total_steps, self.lr) / (1 - BETA1**t)
        self.s.sub_(self.mean, alpha=rate / size)

    @torch.no_grad()
    def _harden(self, sparsity: float) -> None:
        """Keep the most probable weights; among equals the larger ones."""
        weights = self.masks.parameters().values()
        size = torch.cat([w.detach().flatten().abs() for w in weights])
        k = budget(self.s.numel(), sparsity)
        self.masks.set(self._by_name(keep_largest(self.s.detach(), k, size)))

    @torch.no_grad()
    def _keep_best_draw(self, loss: Callable[[], Tensor]) -> None:
        best, lowest = dict[str, Tensor](), math.inf
        was_training = self.model.training
        self.model.eval()
        try:
            for _ in range(self.num_draws):
                u = torch.empty_like(self.s).uniform_(generator=self.generator)
                keep = self._by_name(u < self.s)
                self.masks.set(keep)
                found = float(loss())
                if found < lowest or not best:
                    best, lowest = keep, found
        finally:
            self.model.train(was_training)
        self.masks.set(best)

    def _start(self) -> None:
        """Start to draw masks, and freeze the weights of a supermask."""
        self.ended = False
        if self.supermask and not self.frozen:
            for name, weight in self.masks.parameters().items():
                self.frozen[name] = weight.requires_grad
                weight.requires_grad_(False).grad = None
        if self.hook is None:
            self.hook = self.model.register_forward_pre_hook(_Draw(self))

    def _end(self) -> None:
        """Stop drawing masks, and unfreeze the weights of a supermask."""
        if self.hook is None:
            return
        self.ended, self.s.grad, self.drawn_from = True, None, None
        self.hook.remove()
        self.hook = None
        self.masks.soften(None)
        for name, wanted in self.frozen.items():
            self.masks.parameters()[name].requires_grad_(wanted)
        self.frozen = {}
