"""ADMM: weights are drawn to the nearest pruned, then the nearest quantised ones."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.prune.learned.admm_checks import as_structures, check_settings
from gsparse.prune.pruner import Pruner
from gsparse.prune.quantise import Per, check_per, quantise
from gsparse.prune.select import Scope
from gsparse.prune.structured.select_groups import Protect
from gsparse.prune.structured.structures import Structure
from gsparse.prune.structured.support import support
from gsparse.prune.targets import Selector


def updated_dual(weight: Tensor, u: Tensor, z: Tensor, ratio: float) -> Tensor:
    r"""The scaled dual plus what the weights still miss.

    With :math:`Z = \Pi(W + U)` it becomes :math:`U + W - Z`. The scaled dual stands for
    the multiplier :math:`\rho U`, which must not jump when :math:`\rho` does: it is
    multiplied by the ratio :math:`\rho_{old} / \rho_{new}`.

    Example:
        >>> import torch
        >>> from gsparse.prune.learned.admm import updated_dual
        >>> w, u = torch.tensor([3.0, 1.0]), torch.tensor([0.0, 0.5])
        >>> updated_dual(w, u, torch.tensor([3.0, 0.0]), ratio=0.5)
        tensor([0.0000, 0.7500])
    """
    return (u + weight - z) * ratio


def penalty_at(rho: tuple[float, float], update: int, num_updates: int) -> float:
    r"""The penalty :math:`\rho_k` before update k, counted from 0: a geometric ramp.

    Example:
        >>> from gsparse.prune.learned.admm import penalty_at
        >>> [round(penalty_at((0.01, 10.0), k, 4), 4) for k in range(4)]
        [0.01, 0.1, 1.0, 10.0]
    """
    first, last = rho
    part = min(update / (num_updates - 1), 1.0) if num_updates > 1 else 0.0
    return first * (last / first) ** part


class ADMM(Pruner):
    r"""Draws weights to a set of pruned and quantised ones while they are trained, from
    the `"Tiny but Accurate: A Pruned, Quantized and Optimized Memristor Crossbar
    Framework for Ultra Efficient DNN Implementation"
    <https://arxiv.org/abs/1908.10017>`_ paper.

    Minimises :math:`f(W)` over a set :math:`S` by the alternating direction method of
    multipliers, with the scaled dual :math:`U`, at first zero, and :math:`Z`, at first
    the weights. Training goes on with the loss

    .. math::
        f(W) + \tfrac{\rho}{2} \|W - Z + U\|^2

    and every few steps :math:`Z = \Pi_S(W + U)`, :math:`U \leftarrow U + W - Z`
    (:func:`updated_dual`), and :math:`\rho` grows. After ``num_updates`` of these the
    weights that the projection of :math:`W` removes get a mask; training that goes on
    is masked retraining. With ``bits`` as many updates follow that draw what is left to
    the levels of :func:`~gsparse.prune.quantise`; then it is put there and
    stays: only what is not targeted is trained on. ``residuals`` has
    :math:`\|W - Z\| / \|W\|` of every update: if it does not end well below 0.01 the
    cut is a jump, and more steps or a larger last ``rho`` help.

    With a fixed small :math:`\rho` the residual does not vanish, as :math:`S` is not
    convex. Costs two tensors of the weights' size, a pass over them each step, and the
    projection at every update. Use it for structured pruning of what is trained
    already, and for few bits; at high unstructured sparsities gradual magnitude pruning
    is simpler and costs nothing between its cuts.

    Differences from the paper: the ramp of :math:`\rho` is ours, as are the levels;
    the device is not modelled. Rows and columns together are no single projection:
    they are taken one after the other
    (:func:`~gsparse.prune.structured.support.support`).

    Args:
        model: Any module; changed in place, its parameters stay the same objects.
        sparsity: Fraction of the targeted weights to remove, in [0, 1), to the nearest
            group. With 0 and ``bits`` weights are quantised only.
        structure: What is removed whole, such as
            :class:`~gsparse.prune.Rows`, or several in turn; ``None`` takes
            single weights.
        bits: Of a quantised weight, from 2 to 8, its sign included; ``None`` leaves
            them as they are.
        every: Steps between two updates: enough for the optimiser to come near the
            projection, or the dual adds up what is only on its way. On a small GCN
            with Adam 200 steps in 10 updates ended at a residual of 0.002, in 20 at
            0.1.
        num_updates: Updates to prune, and as many to quantise.
        rho: The first and the last :math:`\rho` of each.
        scope: ``"local"`` gives each layer the same sparsity, ``"global"`` ranks all
            together, ``"erk"`` has layer rates by shape.
        exclude: As for :func:`~gsparse.prune.find_targets`.
        targets: As for :func:`~gsparse.prune.find_targets`.
        protect: Groups that stay: a bool for each row of some parameters by name, or
            with one structure a bool for each group.
        per: ``"layer"`` for one quantisation step, ``"row"`` for one in each row.

    Raises:
        ValueError: If an argument is out of range, nothing is left to prune, or the
            structure does not fit a parameter or reach the sparsity.

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
    """

    z: dict[str, Tensor]
    u: dict[str, Tensor]

    def __init__(
        self,
        model: Module,
        sparsity: float,
        structure: Structure | Sequence[Structure] | None = None,
        bits: int | None = None,
        every: int = 20,
        num_updates: int = 10,
        rho: tuple[float, float] = (1e-2, 10.0),
        scope: Scope = "local",
        exclude: Iterable[Selector] | Selector = (),
        targets: Iterable[Selector] | Selector | None = None,
        protect: Protect | None = None,
        per: Per = "layer",
    ) -> None:
        self.structures = as_structures(structure, protect)
        check_settings(every, num_updates, rho, scope, bits)
        super().__init__(model, sparsity, targets, exclude)
        self.bits, self.per, self.scope, self.protect = bits, per, scope, protect
        self.every, self.num_updates, self.ramp = every, num_updates, rho
        weights = self.masks.parameters()
        try:
            for weight in weights.values():
                check_per(per, weight)
            self._support(weights)  # refuses what does not fit
        except Exception:
            self.undo()
            raise
        self.phases = ["prune"] if sparsity > 0 or bits is None else []
        self.phases += [] if bits is None else ["quantise"]
        self.residuals: list[float] = []
        self.scales: dict[str, Tensor] = {}
        self._phase = 0
        self._restart()

    @property
    def done(self) -> bool:
        """Whether the masks, and with ``bits`` the levels, are fixed."""
        return self._phase == len(self.phases)

    @property
    def end(self) -> int:
        """The step that fixes them."""
        return self.every * self.num_updates * len(self.phases)

    @property
    def rho(self) -> float:
        """The weight of the penalty now."""
        update = self.num_steps // self.every % self.num_updates
        return penalty_at(self.ramp, update, self.num_updates)

    def penalty(self) -> Tensor:
        r""":math:`\frac{\rho}{2} \|W - Z + U\|^2` of the weights that have no mask."""
        total = super().penalty()
        if self.done:
            return total
        for name, weight in self.masks.parameters().items():
            missing = weight - (self.z[name] - self.u[name]).to(weight)
            total = total + torch.where(self.masks[name], missing, 0).square().sum()
        return self.rho / 2 * total

    @torch.no_grad()
    def step(self) -> None:
        """Update the projection and the dual, if it is time; hold levels when done."""
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
        """Prune, and quantise, what is not yet."""
        while not self.done:
            self.z = self._project(self.masks.parameters())
            self.residuals.append(self.residual())
            self._end_phase()

    @torch.no_grad()
    def residual(self) -> float:
        r""":math:`\|W - Z\| / \|W\|` of the weights that have no mask; when done, of
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
        """A phase begins where the weights are."""
        weights = self.masks.parameters()
        self.z = {name: weight.detach().clone() for name, weight in weights.items()}
        self.u = {name: torch.zeros_like(weight) for name, weight in self.z.items()}

    def _end_phase(self) -> None:
        """Put the weights where they were drawn to."""
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
        """Levels stay what they are, whatever the optimiser did."""
        for name, weight in self.masks.parameters().items():
            if name in self.z:
                level = self.z[name].to(weight)
                weight.copy_(torch.where(self.masks[name], level, weight))

    def state_dict(self) -> dict[str, Any]:
        """As for every pruner, with Z, U, the residuals and the scales."""
        return super().state_dict() | {
            "phase": self._phase,
            "z": {name: it.clone() for name, it in self.z.items()},
            "u": {name: it.clone() for name, it in self.u.items()},
            "scales": {name: it.clone() for name, it in self.scales.items()},
            "residuals": list(self.residuals),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken."""
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
