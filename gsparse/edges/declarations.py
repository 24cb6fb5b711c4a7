"""Attributes that declare what an edge method needs."""

from typing import ClassVar, Literal

EdgeWhen = Literal["fresh", "training", "trained"]
"""State of the model that a method needs: untrained (or no model), trained together
with the method, or already trained, so that its predictions can be read."""

EdgeNeed = Literal["logits", "edge_index", "seed"]
"""Predictions of a trained model as ``data.pred``; or a keyword of the constructor: the
graph that a mask is learned for, or a random seed."""


class EdgeMethod:
    """Base of sparsifiers, learned masks and others: what a benchmark must know."""

    revision: ClassVar[int] = 1
    """Raised when a change alters results, so that old rows show as stale."""

    when: ClassVar[EdgeWhen] = "fresh"
    """Weights of a model that the method needs."""

    needs: ClassVar[tuple[EdgeNeed, ...]] = ()
    """What depends on the model or the run, besides the graph and the sparsity."""

    reweights: ClassVar[bool] = False
    """Whether the constructor takes ``reweight``, for new weights of the edges."""

    takes_scope: ClassVar[bool] = False
    """Whether the constructor takes ``scope``; ``"shared"`` gives one graph."""

    cuts: ClassVar[bool] = True
    """Whether edges are gone from the graph afterwards."""

    trains: ClassVar[bool] = False
    """Whether the method itself trains the models that choose the edges."""
