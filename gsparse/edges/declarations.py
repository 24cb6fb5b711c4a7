"""Attributes that declare what an edge method needs."""

from typing import ClassVar, Literal, get_args

EdgeWhen = Literal["fresh", "training", "trained"]
"""State of the model that a method needs: untrained (or no model), trained together
with the method, or already trained, so that its predictions can be read."""

EdgeNeed = Literal["logits", "model", "edge_index", "seed"]
"""Predictions of a trained model as ``data.pred``; a trained model, with which the
method is called; or a keyword of the constructor: the graph that a mask is learned for,
or a random seed."""


def check_declaration(
    method: type, when: tuple[str, ...], needs: tuple[str, ...]
) -> None:
    """Refuse a class whose ``when`` or ``needs`` is not among the known words."""
    declared = {"when": ([method.when], when), "needs": (method.needs, needs)}  # type: ignore[attr-defined]
    for name, (values, known) in declared.items():
        for value in values:
            if value not in known:
                raise TypeError(
                    f"{name!r} of {method.__name__} must be of "
                    f"{', '.join(map(repr, known))} (got {value!r})"
                )


class EdgeMethod:
    """Base of sparsifiers, learned masks and others: what a benchmark must know."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        check_declaration(cls, get_args(EdgeWhen), get_args(EdgeNeed))

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
