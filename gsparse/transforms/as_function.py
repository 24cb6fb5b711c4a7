"""Function twins of the sparsifiers, which take tensors instead of a graph."""

from collections.abc import Callable
from inspect import Parameter, Signature, signature
from typing import Any

from torch import Tensor
from torch_geometric.data import Data

from gsparse.transforms.base import EdgeSparsifier

Result = tuple[Tensor, Tensor | None, Tensor]

_DOC = """Apply :class:`{cls}` to tensors instead of a graph.

The keyword arguments are those of the class.

Returns:
    ``(edge_index, edge_weight, e_id)`` of the kept entries.

Shapes:
    - **edge_index:** :math:`(2, E)`{feature}
    - **edge_weight:** :math:`(E,)`
"""


def as_function(
    cls: type[EdgeSparsifier], name: str, feature: str = ""
) -> Callable[..., Result]:
    """Build the function twin of a sparsifier.

    Its signature is ``(edge_index, edge_weight=None, num_nodes=None, *, ...)``, or
    ``(edge_index, feature, edge_weight=None, *, ...)`` for a sparsifier that needs node
    features. The parameters of the class follow as keyword arguments.

    Args:
        cls: Class of the sparsifier.
        name: Name of the function in the module of the class.
        feature: Name of the node features that the sparsifier needs.
    """
    types = {
        "edge_index": Tensor,
        "edge_weight": Tensor | None,
        "num_nodes": int | None,
    }
    if feature:
        types = {"edge_index": Tensor, feature: Tensor, "edge_weight": Tensor | None}
    tensors = [
        Parameter(
            key,
            Parameter.POSITIONAL_OR_KEYWORD,
            default=Parameter.empty if kind is Tensor else None,
            annotation=kind,
        )
        for key, kind in types.items()
    ]
    settings = [
        parameter.replace(kind=Parameter.KEYWORD_ONLY)
        for parameter in signature(cls).parameters.values()
        if parameter.default != feature  # without the name of the features
    ]
    own = Signature([*tensors, *settings], return_annotation=Result)

    def function(*args: Any, **kwargs: Any) -> Result:  # noqa: ANN401
        given = own.bind(*args, **kwargs).arguments
        values = {key: given.pop(key, None) for key in types}
        if feature:
            values["num_nodes"] = values[feature].size(0)
        out = cls(**given)(Data(**values))
        return out.edge_index, out.get("edge_weight"), out.e_id

    shape = f"\n    - **{feature}:** :math:`(N, *)`" if feature else ""
    function.__doc__ = _DOC.format(cls=cls.__name__, feature=shape)
    function.__name__ = function.__qualname__ = name
    function.__module__, function.__signature__ = cls.__module__, own  # type: ignore[attr-defined]
    return function
