r"""Optimal Brain Damage and Surgeon: which weights to remove, and the update.

All functions work on the flat weights :math:`w` and a damped
:class:`~gsparse.prune.Fisher` :math:`H`; :math:`P` are the removed weights,
:math:`Q` the kept ones, and the loss is modelled by
:math:`\Delta L(\delta) = \frac{1}{2} \delta^\top H \delta`.
"""

import torch
from torch import Tensor

from gsparse.prune.surgeons.fisher import Fisher

# ruff: noqa: N806 (G as in the formulas)


def obd_saliency(weights: Tensor, fisher: Fisher) -> Tensor:
    r"""Return the loss of removing each weight alone without an update,
    :math:`\frac{1}{2} w_q^2 H_{qq}`, from "Optimal Brain Damage" (LeCun, Denker, Solla,
    1989).
    """
    w = fisher._vector(weights)
    return w.square() * fisher.diagonal() / 2


def obs_saliency(weights: Tensor, fisher: Fisher) -> Tensor:
    r"""Return the loss of removing each weight alone and updating all others,
    :math:`\frac{1}{2} w_q^2 / [H^{-1}]_{qq}`, from "Optimal Brain Surgeon" (Hassibi,
    Stork, 1992).

    Never more than :func:`obd_saliency`.
    """
    w = fisher._vector(weights)
    return w.square() / (2 * fisher.inverse_diagonal())


def masked_loss(weights: Tensor, fisher: Fisher, keep: Tensor) -> float:
    r"""Return the loss of setting :math:`P` to zero,
    :math:`\frac{1}{2} w_P^\top H_{PP} w_P`.
    """
    w = fisher._vector(weights)
    return fisher.quadratic(w.masked_fill(_fitting(keep, fisher), 0.0)) / 2


def updated_loss(weights: Tensor, fisher: Fisher, keep: Tensor) -> float:
    r"""Return the loss after :func:`joint_update`.

    It is :math:`\frac{1}{2} w_P^\top ([H^{-1}]_{PP})^{-1} w_P`, computed with
    :math:`s = G_P w_P` as

    .. math::
        \frac{\lambda}{2} \left( \|w_P\|^2
        + s^\top (N \lambda I + G_Q G_Q^\top)^{-1} s \right).
    """
    gone = fisher._vector(weights).masked_fill(_fitting(keep, fisher), 0.0)
    total = gone.square().sum()
    for part in fisher.blocks:
        G = fisher.gradients[:, part]
        s = G @ gone[part]
        total += s @ _inner_solve(fisher, G[:, keep[part]], s)
    return float(total) * fisher.ridge / 2


def joint_update(
    weights: Tensor, fisher: Fisher, keep: Tensor, gradient: Tensor | None = None
) -> Tensor:
    r"""Return the best update of :math:`Q` for removing all of :math:`P` (CBS-U), from
    the `"The Combinatorial Brain Surgeon" <https://arxiv.org/abs/2203.04466>`_ paper.

    It is the :math:`\delta` of least :math:`g^\top \delta + \frac{1}{2} \delta^\top H
    \delta` with :math:`(w + \delta)_P = 0`; without :math:`g`, :math:`(H \delta)_Q =
    0`. The paper solves for :math:`[H^{-1}]_{PP}`, at :math:`O(|P|^3)`; moving the
    inverse to the side of the samples costs :math:`O(N^2 |Q|)`:

    .. math::
        \delta_Q = G_Q^\top (N \lambda I + G_Q G_Q^\top)^{-1} G_P w_P
        - H_{QQ}^{-1} g_Q.

    Args:
        weights: All weights.
        fisher: Fisher matrix of these weights.
        keep: True for :math:`Q`.
        gradient: :math:`g` of a model that is not at a minimum; ``None`` for 0.

    Returns:
        The change of every weight.

    Shapes:
        - **weights**, **keep**, **gradient**, **output:** :math:`(n,)`

    Example:
        Only the sum of two weights matters: one takes over the value of the other.

        >>> import torch
        >>> from gsparse.prune.surgeons.brain_surgeon import joint_update
        >>> from gsparse.prune import Fisher
        >>> fisher = Fisher(torch.tensor([[1.0, 1.0]]), damping=1e-9)
        >>> weights, keep = torch.tensor([2.0, 3.0]), torch.tensor([False, True])
        >>> weights + joint_update(weights, fisher, keep)
        tensor([0.0000, 5.0000], dtype=torch.float64)
    """
    w = fisher._vector(weights)
    delta = -w.masked_fill(_fitting(keep, fisher), 0.0)
    g = torch.zeros_like(w) if gradient is None else fisher._vector(gradient)
    for part in fisher.blocks:
        G, stays = fisher.gradients[:, part], keep[part]
        G_Q, g_Q = G[:, stays], g[part][stays] / fisher.ridge
        s = -G @ delta[part] + G_Q @ g_Q
        delta[part][stays] = G_Q.T @ _inner_solve(fisher, G_Q, s) - g_Q
    return delta


def summed_update(weights: Tensor, fisher: Fisher, keep: Tensor) -> Tensor:
    r"""Return the sum of the updates for removing each weight alone, as in the
    `"WoodFisher" <https://arxiv.org/abs/2004.14340>`_ paper:
    :math:`-H^{-1} \sum_{q \in P} e_q w_q / [H^{-1}]_{qq}`, then zero on :math:`P`.

    The best update for removing them together is :func:`joint_update`.
    """
    w, stays = fisher._vector(weights), _fitting(keep, fisher)
    force = (w / fisher.inverse_diagonal()).masked_fill(stays, 0.0)
    return torch.where(stays, -fisher.solve(force), -w)


def sequential_obs(weights: Tensor, fisher: Fisher, num_kept: int) -> Tensor:
    r"""Remove the least salient weight and update all others, one weight at a time, as
    Optimal Brain Surgeon does.

    The kept weights end at the values of :func:`joint_update`. Each step costs
    :math:`O(Nn)`, all of them :math:`O(Nn^2)`: seconds for 8,000 weights and 60
    samples, minutes for 23,000 and 140.

    Args:
        weights: All weights.
        fisher: Fisher matrix of these weights.
        num_kept: Number of weights to keep.

    Returns:
        True for the weights that stay.

    Shapes:
        - **weights**, **output:** :math:`(n,)`

    Example:
        >>> import torch
        >>> from gsparse.prune.surgeons.brain_surgeon import sequential_obs
        >>> from gsparse.prune import Fisher
        >>> fisher = Fisher(torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
        >>> sequential_obs(torch.tensor([2.0, 2.1, 2.2]), fisher, num_kept=2)
        tensor([False,  True,  True])
    """
    v, G = fisher._vector(weights).clone(), fisher.gradients
    inverse = [_inverse(fisher, G[:, part]) for part in fisher.blocks]  # K_Q^-1
    index, keep = fisher.block_index.tolist(), torch.ones_like(v, dtype=torch.bool)
    d = torch.cat(
        [
            (G[:, part] * (inner @ G[:, part])).sum(dim=0)
            for part, inner in zip(fisher.blocks, inverse, strict=True)
        ]
    )
    for _ in range(fisher.num_weights - num_kept):
        # [H_QQ^-1]_qq = (1 - d_q) / lambda
        saliency = v.square() / (1 - d)
        q = int(saliency.masked_fill(~keep, torch.inf).argmin())
        part, inner = fisher.blocks[index[q]], inverse[index[q]]
        u = inner @ G[:, q]
        t, room = u @ G[:, part], 1 - d[q]
        v[part] += v[q] * t / room
        keep[q] = False
        v.masked_fill_(~keep, 0.0)
        d[part] += t.square() / room
        inner += torch.outer(u, u) / room
        d.masked_fill_(~keep, 0.0)
    return keep


def _fitting(keep: Tensor, fisher: Fisher) -> Tensor:
    if keep.dtype != torch.bool or keep.shape != (fisher.num_weights,):
        raise ValueError(
            f"'keep' must be bool of shape [{fisher.num_weights}] "
            f"(got {keep.dtype}, {list(keep.shape)})"
        )
    return keep


def _inner_solve(fisher: Fisher, G: Tensor, s: Tensor) -> Tensor:
    r"""Return :math:`(N \lambda I + G G^\top)^{-1} s`."""
    return torch.cholesky_solve(s[:, None], fisher.factor(G))[:, 0]


def _inverse(fisher: Fisher, G: Tensor) -> Tensor:
    return torch.cholesky_inverse(fisher.factor(G))
