"""Null distribution of importances, by permuted targets."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.edges import counter_uniform
from gsparse.explain.progress import Progress, teller
from gsparse.explain.table import Interactions


def permuted_targets(data: Data, seed: int, number: int = 0) -> Data:
    """Return a copy of a graph with permuted targets.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from gsparse.explain.null import permuted_targets
        >>> data = Data(x=torch.zeros(6, 1), y=torch.arange(6))
        >>> permuted_targets(data, seed=8).y.sort().values.tolist()
        [0, 1, 2, 3, 4, 5]

    Targets are permuted within ``train_mask`` and within ``val_mask``; other targets
    are unchanged. Without these masks, all targets are permuted.

    Args:
        data: Graph with targets ``y``.
        seed: Random seed.
        number: Number of the permutation with this seed.

    Shapes:
        - **data.y:** :math:`(N, *)`
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
    r"""Return the mean importances of models fitted to permuted targets.

    Models have interactions even if the targets are noise; this shows how strong they
    are. Costs ``num`` trainings.

    Args:
        refit: Function that fits a new model to the given data with the given seed and
            returns its interactions, with the same candidates and groups each time.
        data: Data to which the model was fitted.
        num: Number of permutations; p-values are multiples of ``1 / (num + 1)``.
        seed: Random seed of the permutations. ``refit`` gets the seed plus the number
            of the permutation.
        progress: ``True`` for a progress bar on stderr, or a function that is called
            with the completed and the total number of steps.

    Raises:
        ValueError: If the pairs are not the same in all calls of ``refit``.

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
                "'refit' must return the same pairs each time (got other pairs in run "
                f"{k}); pass the numbers of the candidates"
            )
        rows.append(found.mean)
        tell(k + 1, num)
    return torch.stack(rows)


def p_values(observed: Tensor, null: Tensor, family_wise: bool = False) -> Tensor:
    r"""Compute the probability of so large an importance without any interaction.

    Example:
        >>> import torch
        >>> from gsparse.explain import p_values
        >>> null = torch.tensor([[1.0, 5.0], [2.0, 1.0], [3.0, 1.0]])
        >>> p_values(torch.tensor([4.0, 1.0]), null)
        tensor([0.2500, 1.0000])
        >>> p_values(torch.tensor([4.0, 1.0]), null, family_wise=True)
        tensor([0.5000, 1.0000])

    The p-value is :math:`(1 + \#\{\text{null} \ge \text{observed}\}) / (1 + n)`.

    Args:
        observed: Importances of the model.
        null: Importances of models fitted to permuted targets.
        family_wise: Compare with the largest importance of each permutation, which
            controls the probability that any pair is reported by chance.

    Shapes:
        - **observed:** :math:`(P,)`
        - **null:** :math:`(n, P)`
        - **output:** :math:`(P,)`
    """
    if null.dim() != 2 or null.size(0) < 1 or null.shape[1:] != observed.shape:
        raise ValueError(
            f"'null' must have shape [n, {observed.numel()}] (got {list(null.shape)})"
        )
    if family_wise:
        null = null.amax(1, keepdim=True)
    return (1 + (null >= observed).sum(0)) / (1 + null.size(0))
