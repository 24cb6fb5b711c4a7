"""What scores look like where there is nothing to find: permuted targets."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.edges import counter_uniform
from gsparse.explain.progress import Progress, teller
from gsparse.explain.table import Interactions


def permuted_targets(data: Data, seed: int, number: int = 0) -> Data:
    """The data with its targets in another order.

    They are permuted within ``train_mask`` and within ``val_mask``, where there are
    such; targets of other nodes are not looked at.

    Args:
        data: With targets ``y``, one row a node.
        seed: Number of the random stream.
        number: Which permutation of it.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from gsparse.explain.null import permuted_targets
        >>> data = Data(x=torch.zeros(6, 1), y=torch.arange(6))
        >>> permuted_targets(data, seed=8).y.sort().values.tolist()
        [0, 1, 2, 3, 4, 5]
    """
    n = data.y.size(0)
    u = counter_uniform(seed, number * n, (number + 1) * n, data.y.device)
    masks = [data.get("train_mask"), data.get("val_mask")]
    parts = [mask.nonzero().view(-1) for mask in masks if mask is not None]
    out, y = data.clone(), data.y.clone()
    for part in parts or [torch.arange(n, device=y.device)]:
        y[part] = data.y[part[u[part].argsort()]]
    out.y = y
    return out


def permutation_null(
    refit: Callable[[Data, int], Interactions],
    data: Data,
    num: int = 99,
    seed: int = 0,
    progress: bool | Progress = False,
) -> Tensor:
    r"""Mean scores of models that were fitted to permuted targets.

    A model finds interactions in noise as well; this is how strong they get. Costs
    ``num`` trainings.

    Args:
        refit: Fits a fresh model to the data it is given, from the seed it is given,
            and scores it: the same candidates and groups each time.
        data: As the model was fitted to.
        num: Number of permutations; p-values are multiples of ``1 / (num + 1)``.
        seed: Of the permutations, and handed on, plus their number.
        progress: ``True`` for a bar on stderr, or a function of what is done and what
            there is to do.

    Raises:
        ValueError: If the pairs differ from one refit to the next.

    Shapes:
        - **output:** :math:`(\text{num}, P)`
    """
    if num < 1:
        raise ValueError(f"'num' must be at least 1 (got {num})")
    tell, rows = teller(progress, "permutations"), []
    first: Interactions | None = None
    for k in range(num):
        found = refit(permuted_targets(data, seed, k), seed + k)
        first = found if first is None else first
        if not (torch.equal(first.i, found.i) and torch.equal(first.j, found.j)):
            raise ValueError(
                f"'refit' must score the same pairs each time (got others in run {k}); "
                "give it the numbers of the candidates"
            )
        rows.append(found.mean)
        tell(k + 1, num)
    return torch.stack(rows)


def p_values(observed: Tensor, null: Tensor, family_wise: bool = False) -> Tensor:
    r"""Probability of a score as large without any interaction:
    :math:`(1 + \#\{\text{null} \ge \text{observed}\}) / (1 + n)`.

    Args:
        observed: Scores of the model.
        null: Scores of models of permuted targets.
        family_wise: Hold each score against the largest of each permutation, whichever
            pair has it: the probability that any of all pairs gets there.

    Shapes:
        - **observed:** :math:`(P,)`
        - **null:** :math:`(n, P)`
        - **output:** :math:`(P,)`

    Example:
        >>> import torch
        >>> from gsparse.explain import p_values
        >>> null = torch.tensor([[1.0, 5.0], [2.0, 1.0], [3.0, 1.0]])
        >>> p_values(torch.tensor([4.0, 1.0]), null)
        tensor([0.2500, 1.0000])
        >>> p_values(torch.tensor([4.0, 1.0]), null, family_wise=True)
        tensor([0.5000, 1.0000])
    """
    if null.dim() != 2 or null.size(0) < 1 or null.shape[1:] != observed.shape:
        raise ValueError(
            f"'null' must have shape [n, {observed.numel()}] (got {list(null.shape)})"
        )
    if family_wise:
        null = null.amax(1, keepdim=True)
    return (1 + (null >= observed).sum(0)) / (1 + null.size(0))
