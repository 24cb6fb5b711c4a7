"""Attributes that declare what a pruning method needs."""

from typing import ClassVar, Literal, get_args

from gsparse.edges.declarations import check_declaration

When = Literal["fresh", "training", "trained"]
"""Weights that a method starts from: fresh ones that are trained afterwards, fresh ones
that are pruned while they are trained, or trained ones."""

Need = Literal["loss", "losses", "logits", "example", "num_steps", "fisher", "seed"]
"""A keyword of a method's constructor: a function that returns the training loss, one
that returns the loss of every labelled node, one that returns the logits of all nodes,
the arguments of the model, the number of training steps, a Fisher matrix, or a seed."""


class Declared:
    """Base of criteria and pruners: what a benchmark must know to run one."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        check_declaration(cls, get_args(When), get_args(Need))

    revision: ClassVar[int] = 1
    """Raised when a change alters results, so that old rows show as stale."""

    when: ClassVar[When] = "trained"
    """Weights that the method is given."""

    needs: ClassVar[tuple[Need, ...]] = ()
    """Keywords that the constructor takes and that depend on the model or the run."""

    trains_after: ClassVar[bool] = True
    """Whether a model is trained on once its masks are final."""

    double_backward: ClassVar[bool] = False
    """Whether the loss is differentiated twice, which fused attention forbids."""
