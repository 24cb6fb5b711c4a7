"""ADMM: weights are pulled towards pruned, then towards quantised ones."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.edges import check_sparsity
from gsparse.prune.learned.admm_checks import as_structures, check_settings
from gsparse.prune.learned.admm_steps import (
    fitting_updates,
    penalty_at,
    updated_dual,
)
from gsparse.prune.quantise import Per, check_per, quantise
from gsparse.prune.select import Scope
from gsparse.prune.structured.select_groups import Protect
from gsparse.prune.structured.structures import Structure
from gsparse.prune.structured.support import support
from gsparse.prune.targets import Selector
from gsparse.prune.weight_pruner import WeightPruner


class ADMM(WeightPruner):
    r"""Pulls weights towards pruned and quantised ones while they are trained, from the
    `"Tiny but Accurate: A Pruned, Quantized and Optimized Memristor Crossbar Framework
    for Ultra Efficient DNN Implementation" <https://arxiv.org/abs/1908.10017>`_ paper.

    Example:
        >>> import torch
        >>> from gsparse.prune import ADMM
        >>> layer = torch.nn.Linear(4, 1, bias=False)
        >>> layer.weight.data = torch.tensor([[2.0, -1.0, 0.3, 0.9]])
        >>> pruner = ADMM(layer, sparsity=0.25, bits=2, every=25, num_updates=8)
        >>> optimizer = torch.optim.SGD(layer.parameters(), lr=0.05)
        >>> target = torch.tensor([[2.0, -1.0, 0.3, 0.9]])
        >>> while not pruner.done:
        ...     optimizer.zero_grad()
        ...     loss = (layer.weight - target).square().sum() / 2 + pruner.penalty()
        ...     loss.backward()
        ...     optimizer.step()
        ...     pruner.step()
        >>> layer.weight.detach()
        tensor([[ 1.3000, -1.3000,  0.0000,  1.3000]])

    Minimizes :math:`f(W)` over a set :math:`S` by the alternating direction method of
    multipliers, with a scaled dual :math:`U` that starts at zero and :math:`Z` that
    starts at the weights. The training loss is

    .. math::
        f(W) + \tfrac{\rho}{2} \|W - Z + U\|^2

    and every few steps :math:`Z = \Pi_S(W + U)`, :math:`U \leftarrow U + W - Z`
    (:func:`~gsparse.prune.learned.admm_steps.updated_dual`), and :math:`\rho` grows.
    After ``num_updates`` updates the weights that the projection of :math:`W` removes
    are masked, and further training is masked retraining. With ``bits``, as many
    updates follow that pull the remaining weights towards the levels of
    :func:`~gsparse.prune.quantise`; then the weights are set to these levels and stay
    there, and only parameters that are not targeted are trained further. ``residuals``
    has :math:`\|W - Z\| / \|W\|` of every update: if it does not end well below 0.01
    the cut is a jump, and more steps or a larger last ``rho`` help.

    With a fixed small :math:`\rho` the residual does not vanish, as :math:`S` is not
    convex.

    **When to use it.** For structured pruning of a trained model, and for few bits.

    **When not to use it.** At high unstructured sparsities: gradual magnitude pruning
    is simpler and costs nothing between its cuts. For whole units, first try a small
    model from scratch, which was as good.

    **Cost.** A pass over the weights in each step, and the projection in each update.
    Memory is two tensors of the size of the weights.

    Differences from the paper: the ramp of :math:`\rho` and the levels are our own, and
    the device is not modelled. There is no closed-form projection onto rows and columns
    together, so they are projected one after the other
    (:func:`~gsparse.prune.structured.support.support`).

    Args:
        sparsity: Fraction of the targeted weights to remove, in [0, 1), to the nearest
            group. With 0 and ``bits`` weights are quantised only.
        bits: Bits of a quantised weight, from 2 to 8, including its sign; ``None`` does
            not quantise.
        every: Steps between two updates, 20 by default: enough for the optimiser to
            come near the projection; otherwise the dual accumulates differences that
            would have vanished. On a small GCN with Adam, 200 steps in 10 updates ended
            at a residual of 0.002, in 20 updates at 0.1.
        num_updates: Updates for pruning, and again for quantisation; 10 by default.
        num_steps: Steps of the whole training; if given, the defaults of ``every`` and
            ``num_updates`` are lowered so that the updates end within two thirds.
        rho: The first and the last :math:`\rho` of each phase.
        per: ``"layer"`` for one quantisation step, ``"row"`` for one in each row.
        scope: How the budget is spread over the layers; ``"local"`` by default.
        structure: One structure, or several that are projected one after the other;
            ``None`` for single weights.
        protect: Groups that stay; with several structures only rows by parameter name.

    The other arguments are those of :class:`~gsparse.prune.Pruner`.

    Raises:
        ValueError: If an argument is out of range, nothing is left to prune, or the
            structure does not fit a parameter or cannot reach the sparsity.
    """

    needs = ("num_steps",)
    takes_structure = True

    z: dict[str, Tensor]
    u: dict[str, Tensor]

    def __init__(
        self,
        model: Module,
        *,
        sparsity: float,
        bits: int | None = None,
        every: int | None = None,
        num_updates: int | None = None,
        num_steps: int | None = None,
        rho: tuple[float, float] = (1e-2, 10.0),
        per: Per = "layer",
        scope: Scope = "local",
        structure: Structure | Sequence[Structure] | None = None,
        protect: Protect | None = None,
        targets: Iterable[Selector] | Selector | None = None,
        exclude: Iterable[Selector] | Selector = (),
    ) -> None:
        check_sparsity(sparsity)
        if num_steps is not None and (not isinstance(num_steps, int) or num_steps < 1):
            raise ValueError(f"'num_steps' must be a positive int (got {num_steps!r})")
        self.phases = ["prune"] if sparsity > 0 or bits is None else []
        self.phases += [] if bits is None else ["quantise"]
        if num_steps is not None:
            most, space = fitting_updates(num_steps // len(self.phases))
            num_updates = most if num_updates is None else num_updates
            every = space if every is None else every
        num_updates = 10 if num_updates is None else num_updates
        every = 20 if every is None else every
        self.structures = as_structures(structure, protect)
        check_settings(every, num_updates, rho, scope, bits)
        super().__init__(model, sparsity=sparsity, targets=targets, exclude=exclude)
        self.bits, self.per, self.scope, self.protect = bits, per, scope, protect
        self.every, self.num_updates, self.ramp = every, num_updates, rho
        weights = self.masks.parameters()
        try:
            for weight in weights.values():
                check_per(per, weight)
            self._support(weights)  # refuses a structure that does not fit
        except Exception:
            self.undo()
            raise
        self.residuals: list[float] = []
        self.scales: dict[str, Tensor] = {}
        self._phase = 0
        self._restart()

    @property
    def done(self) -> bool:
        """Whether the masks and, with ``bits``, the levels are fixed."""
        return self._phase == len(self.phases)

    @property
    def end(self) -> int:
        """The step that fixes masks and levels."""
        return self.every * self.num_updates * len(self.phases)

    @property
    def rho(self) -> float:
        """The current weight of the penalty."""
        update = self.num_steps // self.every % self.num_updates
        return penalty_at(self.ramp, update, self.num_updates)

    def penalty(self) -> Tensor:
        r"""Return :math:`\frac{\rho}{2} \|W - Z + U\|^2` over the kept weights."""
        total = super().penalty()
        if self.done:
            return total
        for name, weight in self.masks.parameters().items():
            missing = weight - (self.z[name] - self.u[name]).to(weight)
            total = total + torch.where(self.masks[name], missing, 0).square().sum()
        return self.rho / 2 * total

    @torch.no_grad()
    def step(self) -> None:
        """Update projection and dual, if it is time; when done, keep the levels."""
        if self.done:
            self._hold()
            return
        before = self.rho
        self.num_steps += 1
        if self.num_steps % self.every:
            return
        weights = self.masks.parameters()
        self.u = {name: self.u[name].to(weights[name]) for name in weights}
        sums = {name: weights[name] + self.u[name] for name in weights}
        projected = self._project(sums)
        for name, weight in weights.items():
            self.z[name] = z = projected[name]
            self.u[name] = updated_dual(weight, self.u[name], z, before / self.rho)
        self.residuals.append(self.residual())
        if self.num_steps // self.every % self.num_updates == 0:
            self._end_phase()

    @torch.no_grad()
    def finalize(self) -> None:
        """Prune and quantise at once what has not been."""
        while not self.done:
            self.z = self._project(self.masks.parameters())
            self.residuals.append(self.residual())
            self._end_phase()

    @torch.no_grad()
    def residual(self) -> float:
        r"""Return :math:`\|W - Z\| / \|W\|` over the kept weights; when done, that of
        the last cut.
        """
        if self.done:
            return self.residuals[-1]
        missing = size = 0.0
        for name, weight in self.masks.parameters().items():
            keep = self.masks[name]
            gap = weight.double() - self.z[name].to(weight).double()
            missing += float(gap[keep].square().sum())
            size += float(weight[keep].double().square().sum())
        return (missing / size) ** 0.5 if size else 0.0

    def _restart(self) -> None:
        """Start a phase from the current weights."""
        weights = self.masks.parameters()
        self.z = {name: weight.detach().clone() for name, weight in weights.items()}
        self.u = {name: torch.zeros_like(weight) for name, weight in self.z.items()}

    def _end_phase(self) -> None:
        """Project the weights onto the set of the phase."""
        weights = self.masks.parameters()
        if self.phases[self._phase] == "prune":
            self.masks.set(self._support(weights))
            self._restart()
        else:
            self.z = self._project(weights)
        self._phase += 1
        if self.done:
            self.u = {}
            self.z = self.z if self.scales else {}
            self._hold()

    def _project(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if self.phases[self._phase] == "prune":
            kept = self._support(weights)
            return {name: torch.where(kept[name], w, 0) for name, w in weights.items()}
        found = {}
        for name, weight in weights.items():
            start = self.scales[name].to(weight) if name in self.scales else None
            levels = quantise(weight, self.bits, self.per, self.masks[name], start)  # type: ignore[arg-type]
            found[name], self.scales[name] = levels.values, levels.scale
        return found

    def _support(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return support(
            weights, self.sparsity, self.structures, self.scope, self.protect
        )

    def _hold(self) -> None:
        """Restore the levels after a step of the optimiser."""
        for name, weight in self.masks.parameters().items():
            if name in self.z:
                level = self.z[name].to(weight)
                weight.copy_(torch.where(self.masks[name], level, weight))

    def state_dict(self) -> dict[str, Any]:
        """Return the state of a run, with Z, U, the residuals and the scales."""
        return super().state_dict() | {
            "phase": self._phase,
            "z": {name: it.clone() for name, it in self.z.items()},
            "u": {name: it.clone() for name, it in self.u.items()},
            "scales": {name: it.clone() for name, it in self.scales.items()},
            "residuals": list(self.residuals),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._phase = int(state["phase"])
        self.z, self.u = dict(state["z"]), dict(state["u"])
        self.scales = dict(state["scales"])
        self.residuals = list(state["residuals"])

    def __repr__(self) -> str:
        more = ", ".join(map(repr, self.structures))
        more = f", structure={more}" if more else ""
        more += "" if self.bits is None else f", bits={self.bits}"
        return f"{type(self).__name__}(sparsity={self.sparsity}{more})"
