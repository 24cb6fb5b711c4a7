"""The cross entropy of many nodes and few classes."""

from torch import Tensor
from torch.nn.functional import kl_div

FEW = 16
"""Classes up to which the softmax is faster over columns than over short rows."""


def log_probabilities(out: Tensor) -> Tensor:
    """The log-softmax over classes, a row a class.

    torch goes through short rows one number at a time: over columns three classes take
    a third of the time, ten a seventh (forward and backward; a trial, one thread).

    Shapes:
        - **out:** :math:`(N, C)`
        - **output:** :math:`(C, N)`
    """
    if out.size(1) > FEW or out.device.type != "cpu":
        return out.log_softmax(1).t()
    return out.t().contiguous().log_softmax(0)


def mean_cross_entropy(out: Tensor, target: Tensor) -> Tensor:
    """:func:`torch.nn.functional.cross_entropy` of class numbers, to rounding.

    Shapes:
        - **out:** :math:`(N, C)`
        - **target:** :math:`(N,)`
    """
    return -log_probabilities(out).gather(0, target.unsqueeze(0)).mean()


def mean_divergence(out: Tensor, target: Tensor) -> Tensor:
    r"""Mean over the nodes of :math:`KL(p \| q)`.

    Args:
        out: Class scores of q.
        target: Log-probabilities of p, as :func:`log_probabilities` gives them.

    Shapes:
        - **out:** :math:`(N, C)`
        - **target:** :math:`(C, N)`
    """
    own = log_probabilities(out)
    return kl_div(own, target, reduction="sum", log_target=True) / out.size(0)
