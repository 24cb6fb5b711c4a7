"""Prepare the inputs, the outputs and the draws of a model to explain."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.explain.two_layer import Inputs

NUM_DRAWS = 20

Networks = Callable[[], Iterator[Module]]
"""Function that returns the same networks in each call."""


def inputs_of(data: Data) -> Inputs:
    """Return dense features, edges and edge weights of a graph.

    Raises:
        ValueError: If the features are not a floating-point matrix.
    """
    x = data.x
    if not isinstance(x, Tensor) or x.dim() != 2 or not x.is_floating_point():
        got = "none" if x is None else f"{x.dtype}, {list(x.shape)}"
        raise ValueError(
            f"'data.x' must be a float matrix with one row per node (got {got})"
        )
    return x.to_dense(), data.edge_index, data.get("edge_weight")


def readouts(outputs: Tensor, output: int | None) -> Tensor:
    """Return weights of the output columns, one row for each Hessian.

    Shapes:
        - **outputs:** :math:`(N, C)`
        - **output:** :math:`(R, C)`

    Example:
        >>> import torch
        >>> from gsparse.explain.question import readouts
        >>> readouts(torch.zeros(5, 2), None)
        tensor([[-1.,  1.]])
        >>> readouts(torch.zeros(5, 3), 1)
        tensor([[0., 1., 0.]])
    """
    columns = outputs.size(1)
    eye = torch.eye(columns, dtype=outputs.dtype, device=outputs.device)
    if output is not None:
        if not 0 <= output < columns:
            raise ValueError(f"'output' must be in [0, {columns}) (got {output})")
        return eye[output : output + 1]
    if columns == 2:
        return eye[1:] - eye[:1]
    return eye if columns == 1 else eye - 1 / columns


def posterior(
    model: Module | Sequence[Module], draws: int | None, seed: int
) -> tuple[Networks, int]:
    """Return the draws from the posterior of a model, and their number.

    Raises:
        ValueError: If ``draws`` is given for a model without a posterior.
    """
    if not isinstance(model, Module):
        if draws is not None or not model:
            raise ValueError(
                "'draws' must be None and 'model' not be empty for a sequence of "
                f"networks (got draws={draws}, {len(model)} networks)"
            )
        return lambda: iter(model), len(model)
    draw = getattr(model, "draws", None)
    if callable(draw):
        num = NUM_DRAWS if draws is None else draws
        return lambda: draw(num, seed), num
    if draws not in (None, 1):
        raise ValueError(
            f"'draws' needs a model with a posterior, such as BayesianGCN, or a "
            f"sequence of models (got draws={draws} of {type(model).__name__})"
        )
    return lambda: iter([model]), 1
