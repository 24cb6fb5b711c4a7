"""Panels of the dense elimination: the steps between matrix products."""

import numpy as np

from gsparse.kernels.threads import jit


@jit()
def _add_scaled(y: np.ndarray, scale: float, x: np.ndarray) -> None:
    for i in range(len(y)):
        y[i] += scale * x[i]


@jit()
def eliminate_panel(A: np.ndarray, total: np.ndarray, begin: int, end: int) -> None:
    """Eliminate the nodes ``begin .. end`` of a dense network among themselves.

    Args:
        A: Conductances ``[k, k]``, upper triangle; the rows of the panel must hold
            the meshes of all earlier nodes. They become shares.
        total: Receives the total conductance of each node ``[k]``.
        begin: First node of the panel.
        end: Node after the panel; later rows are not touched.
    """
    for j in range(begin, end):
        s = A[j, j + 1 :].sum()
        total[j] = s
        if s <= 0:  # the last node of its component
            continue
        for x in range(j + 1, len(A)):
            A[j, x] /= s
        for b in range(j + 1, end):
            _add_scaled(A[b, b + 1 :], s * A[j, b], A[j, b + 1 :])


@jit()
def extend_panel(
    A: np.ndarray, Y: np.ndarray, total: np.ndarray, begin: int, end: int
) -> None:
    r"""Turn the shares of a panel into resistances, last node first.

    Args:
        A: Shares in the rows of the panel; all resistances among the nodes from
            ``end`` on. The resistances of the panel are written, both triangles.
        Y: :math:`\sum_{a \ge end} f_{ja} R_{ax}` for the panel,
            ``[end - begin, k - end]``; used as scratch.
        total: Total conductance of each node.
        begin: First node of the panel.
        end: Node after the panel.
    """
    near = np.zeros(end - begin)
    for j in range(end - 1, begin - 1, -1):
        far = Y[j - begin]
        line = A[j, end:]
        for a in range(j + 1, end):
            _add_scaled(far, A[j, a], A[a, end:])
        half = 0.5 * np.dot(line, far)
        for x in range(j + 1, end):
            value = np.dot(line, A[x, end:])
            for a in range(j + 1, end):
                value += A[j, a] * A[x, a]
            near[x - begin] = value
            half += 0.5 * A[j, x] * value
        own = 1.0 / total[j] - half if total[j] > 0 else 0.0
        for x in range(j + 1, end):
            A[j, x] = own + near[x - begin]
            A[x, j] = A[j, x]
        A[j, j] = 0.0
        for x in range(len(far)):
            line[x] = own + far[x]
    for x in range(end, len(A)):
        for j in range(begin, end):
            A[x, j] = A[j, x]
