"""AutoPrune: trained switches of weights or rows."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.prune.learned.auto_prune_checks import check_choice, check_settings
from gsparse.prune.learned.switches import Estimator, steered, switch_gradient
from gsparse.prune.schedule import to_steps
from gsparse.prune.targets import Selector
from gsparse.prune.weight_pruner import WeightPruner

Unit = Literal["weight", "row"]
Regrow = Literal["frozen", "straight-through"]

FIRST = 0.01  # initial mu, in units of the gradients


class AutoPrune(WeightPruner):
    r"""Trains a switch for every weight or row of weights, from the `"AutoPrune:
    Automatic Network Pruning by Regularizing Auxiliary Parameters"
    <https://proceedings.neurips.cc/paper/2019/hash/4efc9e02abdab6b6166251918570a307-Abstract.html>`_
    paper.

    Example:
        >>> import torch
        >>> from gsparse.prune import AutoPrune
        >>> layer = torch.nn.Linear(3, 1, bias=False)
        >>> layer.weight.data = torch.tensor([[2.0, 1.0, -2.0]])
        >>> pruner = AutoPrune(layer, sparsity=1 / 3, end=60)
        >>> x, target = torch.eye(3), torch.tensor([[2.0], [0.0], [-2.0]])
        >>> for _ in range(60):
        ...     layer.zero_grad()
        ...     (layer(x) - target).square().mean().backward()
        ...     pruner.step()
        >>> pruner.done, pruner.masks["weight"]
        (True, tensor([[ True, False,  True]]))

    A layer reads :math:`t = w \, h(m)` with :math:`h(m) = 1[m > 0]`. The weights follow
    their ordinary gradient, which is zero while they are pruned, so they keep their
    values and can come back. :meth:`step` updates the switches by
    :math:`m \leftarrow m - \eta (\partial L/\partial t \, \mathrm{sgn}(w) + \mu) h'(m)`
    with a straight-through :math:`h'`. Where the gradient of :math:`w` is balanced by a
    weight decay :math:`\lambda`, the benefit of being active is :math:`\lambda |w|`:
    the switches then rank weights by magnitude, and only noise and the movement of the
    weights add information.

    The gradient :math:`\partial L/\partial t` of a fitted active weight is zero, so
    :math:`\mu` switches it off. Its gradient is then non-zero and switches it on again.
    The final mask is therefore taken from the average of :math:`h(m)` over the last
    steps, with the larger :math:`|w|` first if averages are equal.

    **When to use it.** To train and prune in one run, or with ``unit="row"`` for layers
    that shrink. Start from a trained model.

    **When not to use it.** On a fresh model: a weight with the wrong sign is switched
    off and never comes back, unless ``regrow="straight-through"``. In a short training
    :class:`~gsparse.prune.Magnitude` is simpler.

    **Cost.** A few operations per weight in each step, little more than a plain epoch.
    Memory is a gradient, a switch and an average per weight.

    Differences from the paper: its equations may differ, because the rule here is
    derived from the abstract and from what others report of it. :math:`m` starts at 1
    and stays in [-1, 1], so that no switch is ever far from its threshold, and
    :math:`\eta` is divided by the root mean square of all gradients so far, so that it
    does not depend on the scale of the loss. With ``sparsity``, :math:`\mu` is steered
    (:func:`~gsparse.prune.learned.switches.steered`) towards the active fraction
    :math:`(1 - s)^{\min(2k / e, 1)}` after :math:`k` of :math:`e` = ``end`` steps, and
    the final mask meets it exactly. Weights and switches are trained with the same
    loss, without a validation split.

    Args:
        sparsity: Fraction of the targeted weights to remove, in [0, 1); to the nearest
            row with ``unit="row"``.
        penalty: The cost :math:`\mu` of an active weight, instead of ``sparsity``. The
            final mask then keeps what is active more than half of the time, and the
            pruner's ``sparsity`` is the result.
        num_steps: Steps of the whole training, for ``end``.
        lr: Learning rate :math:`\eta` of the switches.
        end: The step that fixes the mask; a ``float`` is a fraction of ``num_steps``.
        average: Time constant, in steps, of the exponential average of :math:`h(m)`.
        estimator: ``"linear"``, ``"leaky"`` or ``"softplus"``: the :math:`h'` of
            :func:`~gsparse.prune.learned.switches.straight_through`.
        unit: ``"weight"``, or ``"row"`` for one switch per row of a matrix.
        regrow: Gradient of a pruned weight: ``"frozen"`` for none,
            ``"straight-through"`` for that of an active weight.

    The other arguments are those of :class:`~gsparse.prune.Pruner`.

    Raises:
        ValueError: If not exactly one of ``sparsity`` and ``penalty`` is given, an
            argument is out of range, or ``unit="row"`` meets a parameter that is not a
            matrix. Also from :meth:`step`, if a gradient is not finite.
    """

    when = "training"
    needs = ("num_steps",)

    def __init__(
        self,
        model: Module,
        *,
        sparsity: float | None = None,
        penalty: float | None = None,
        num_steps: int | None = None,
        lr: float = 0.1,
        end: int | float = 0.5,
        average: int = 20,
        estimator: Estimator = "softplus",
        unit: Unit = "weight",
        regrow: Regrow = "frozen",
        targets: Iterable[Selector] | Selector | None = None,
        exclude: Iterable[Selector] | Selector = (),
    ) -> None:
        check_settings(sparsity, penalty, lr, average)
        for name, value, known in [
            ("estimator", estimator, Estimator),
            ("unit", unit, Unit),
            ("regrow", regrow, Regrow),
        ]:
            check_choice(name, value, get_args(known))
        self.end = to_steps("end", end, num_steps)
        if self.end < 1:
            raise ValueError(f"'end' must be at least step 1 (got {self.end})")
        super().__init__(
            model, sparsity=sparsity or 0.0, targets=targets, exclude=exclude
        )
        self.fixed_mu, self.lr, self.average = penalty, lr, average
        self.estimator, self.unit, self.regrow = estimator, unit, regrow
        weights = self.masks.parameters()
        if unit == "row":
            self._check_matrices(weights)
        self._mean_mu, self._mean_square, self._done = FIRST, 0.0, False
        self.m = {
            name: torch.ones_like(w[:, :1] if unit == "row" else w, requires_grad=False)
            for name, w in weights.items()
        }
        self.occupancy = {name: m.clone() for name, m in self.m.items()}
        # Zeros added to what a layer reads, so that their gradient is that of t.
        self._zeros = {
            name: torch.zeros_like(w, requires_grad=True) for name, w in weights.items()
        }
        self.masks.soften(self._readers())

    @property
    def done(self) -> bool:
        """Whether the mask is fixed."""
        return self._done

    @property
    def active(self) -> float:
        """Fraction of the switches that are on."""
        count = sum(m.numel() for m in self.m.values())
        return sum(int((m > 0).sum()) for m in self.m.values()) / count

    @torch.no_grad()
    def step(self) -> None:
        """Update the switches by the gradients since the last step."""
        if self._done:
            return
        self.num_steps += 1
        weights = self.masks.parameters()
        gradients = {name: self._take_gradient(name, w) for name, w in weights.items()}
        scale = self._scale(gradients)
        mu = self._mu(scale)
        for name, weight in weights.items():
            self.m[name] = m = self.m[name].to(weight)
            towards = switch_gradient(gradients[name], weight, m, mu, self.estimator)
            m.sub_(towards * (self.lr / scale)).clamp_(-1, 1)
            average = self.occupancy[name].to(weight)
            self.occupancy[name] = average.lerp_((m > 0).to(m), 1 / self.average)
        self._show()
        if self.num_steps >= self.end:
            self.finalize()

    @torch.no_grad()
    def finalize(self) -> None:
        """Fix the mask to what was active most of the time."""
        if self._done:
            return
        weights = self.masks.parameters()
        often = torch.cat([self.occupancy[name].flatten() for name in weights])
        kept = often > 0.5
        if self.fixed_mu is None:
            kept = torch.zeros_like(kept)
            kept[self._first_rows_or_weights(often)] = True
        parts = kept.split([m.numel() for m in self.occupancy.values()])
        for (name, weight), part in zip(weights.items(), parts, strict=True):
            self.masks[name] = part.view_as(self.m[name]).expand_as(weight)
        self.masks.soften(None)
        self._done = True
        if self.fixed_mu is not None:
            self.sparsity = self.report().sparsity

    def _first_rows_or_weights(self, often: Tensor) -> Tensor:
        """Return the best units, as many as come nearest to the sparsity."""
        sizes, counts = [], []
        for name, weight in self.masks.parameters().items():
            wide = weight.numel() // self.m[name].numel()
            size = weight.abs()
            sizes.append((size.mean(1) if self.unit == "row" else size).flatten())
            counts.append(torch.full_like(sizes[-1], wide, dtype=torch.long))
        order = torch.cat(sizes).argsort(descending=True, stable=True)
        order = order[often[order].argsort(descending=True, stable=True)]
        total = torch.cat(counts)[order].cumsum(0)
        wanted = int(total[-1]) - round(self.sparsity * int(total[-1]))
        first = torch.cat([total.new_zeros(1), total])
        return order[: int((first - wanted).abs().argmin())]

    def _mu(self, scale: float) -> float:
        if self.fixed_mu is not None:
            return self.fixed_mu
        count = sum(m.numel() for m in self.m.values())
        wanted = (1 - self.sparsity) ** min(2 * self.num_steps / self.end, 1.0)
        active = max(self.active, 1 / count)
        self._mean_mu, mu = steered(self._mean_mu, active, wanted)
        return mu * scale

    def _scale(self, gradients: dict[str, Tensor]) -> float:
        """Return the root mean square of all gradients of all steps; 1 if all are 0."""
        count = sum(g.numel() for g in gradients.values())
        now = sum(float(g.square().sum()) for g in gradients.values()) / count
        if not now < float("inf"):
            raise ValueError(
                f"the gradients must be finite (got a mean square of {now} in step "
                f"{self.num_steps}): is the loss finite?"
            )
        self._mean_square += (now - self._mean_square) / self.num_steps
        return self._mean_square**0.5 or 1.0

    def _take_gradient(self, name: str, weight: Tensor) -> Tensor:
        found, self._zeros[name].grad = self._zeros[name].grad, None
        return torch.zeros_like(weight) if found is None else found

    def _show(self) -> None:
        """Write the current switches into the masks that copies and files hold."""
        for name, weight in self.masks.parameters().items():
            self.masks[name] = (self.m[name] > 0).expand_as(weight)

    def _readers(self) -> dict[str, Callable[[Tensor], Tensor]]:
        return {name: self._reader(name) for name in self.masks.targets}

    def _reader(self, name: str) -> Callable[[Tensor], Tensor]:
        """Return the function from w to t; the zeros receive the gradient of t."""

        def read(weight: Tensor) -> Tensor:
            t = torch.where(self.masks[name], weight, 0.0)
            if not torch.is_grad_enabled():
                return t
            if self.regrow == "straight-through":
                t = weight + (t - weight).detach()
            if self._zeros[name].device != weight.device:
                self._zeros[name] = torch.zeros_like(weight, requires_grad=True)
            return t + self._zeros[name]

        return read

    @torch.no_grad()
    def _check_matrices(self, weights: dict[str, Tensor]) -> None:
        for name, weight in weights.items():
            if weight.dim() != 2:
                self.undo()
                raise ValueError(
                    f"'unit' may be 'row' for matrices only (got {name!r} of shape "
                    f"{list(weight.shape)}); leave it out by 'exclude'"
                )

    def state_dict(self) -> dict[str, Any]:
        """Return the state of a run, with the switches and their averages."""
        return super().state_dict() | {
            "done": self._done,
            "sparsity": self.sparsity,
            "mean_mu": self._mean_mu,
            "mean_square": self._mean_square,
            "m": {name: m.clone() for name, m in self.m.items()},
            "occupancy": {name: it.clone() for name, it in self.occupancy.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._done, self.sparsity = bool(state["done"]), float(state["sparsity"])
        self._mean_mu = float(state["mean_mu"])
        self._mean_square = float(state["mean_square"])
        for name, m in self.m.items():
            m.copy_(state["m"][name])
            self.occupancy[name].copy_(state["occupancy"][name])
        self.masks.soften(None if self._done else self._readers())
        if not self._done:
            self._show()

    def __repr__(self) -> str:
        if self.fixed_mu is None:
            return super().__repr__()
        return f"{type(self).__name__}(penalty={self.fixed_mu})"
