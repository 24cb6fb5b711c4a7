"""Weights of the dense model on the sparse graph, without any further training."""

from time import perf_counter

from torch.nn import Module
from torch_geometric.data import Data

from gsparse.train import History, evaluate
from gsparse.train.history import WARM_UP


def at_rest(model: Module, data: Data, metric: str) -> History:
    """Return the history of weights that are not trained, with their validation score.

    Args:
        model: The model with the weights.
        data: The sparse graph.
        metric: The metric of the score.
    """
    history = History()
    for _ in range(WARM_UP + 1):
        start = perf_counter()
        history.val_score = evaluate(model, data, "val_mask", metric)
        history.eval_seconds.append(perf_counter() - start)
    return history
