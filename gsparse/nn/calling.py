"""Choose the arguments of a model from its signature and a graph."""

import inspect
import operator
import warnings
from collections.abc import Callable, Iterable
from functools import lru_cache
from inspect import Parameter
from typing import Any, NamedTuple
from weakref import WeakSet

import torch_geometric.nn
from torch.nn import DataParallel, Module
from torch.nn.parallel import DistributedDataParallel
from torch_geometric.data import Batch, Data
from torch_geometric.nn.models.basic_gnn import BasicGNN

# ruff: noqa: ANN401 (models take and return anything)

#: Parameters with these names take edge weights.
WEIGHT_NAMES = ("edge_weight", "edge_weights", "weight", "weights", "w", "ew")
#: Parameters that receive the attribute of the data with the same name.
EDGE_KEYS = ("edge_index", "edge_attr", "edge_type")
#: Names of a first parameter that takes a whole graph, and of a second one that is not
#: ``edge_index``.
WHOLE, NO_EDGES = ("data", "batch", "graph", "g"), ("batch",)

_WARNED: WeakSet[Module] = WeakSet()


class CallForm(NamedTuple):
    """Parameters of a model's ``forward``, looking through wrappers."""

    model: Module
    """The innermost model whose signature was read."""

    positional: tuple[str, ...]
    """Names of the positional parameters, in order."""

    names: tuple[str, ...]
    """Names of the parameters that can be passed by keyword."""

    required: tuple[str, ...]
    """Names of the parameters without a default."""

    is_open: bool = False
    """Whether it takes ``*args`` whose names are unknown."""

    @property
    def weight(self) -> str | None:
        """Name of the parameter that takes edge weights, if there is one."""
        return next((it for it in self.names if it.strip("_") in WEIGHT_NAMES), None)

    def name(self, args: Iterable[Any]) -> dict[str, Any]:
        """Return the arguments after ``x, edge_index`` by name.

        If the model has fewer named parameters, the names are ``edge_weight`` and
        ``edge_attr``.

        Raises:
            TypeError: If there are more arguments than names.
        """
        args, names = tuple(args), self.positional[2:]
        if len(args) > len(names):
            names = ("edge_weight", "edge_attr")
        if len(args) > len(names):
            raise TypeError(
                f"{self} takes {len(self.positional)} positional arguments "
                f"(got {2 + len(args)}); give the others by name"
            )
        return dict(zip(names, args, strict=False))

    def __str__(self) -> str:
        more = ("*args",) if self.is_open else ()
        shown = ", ".join((*self.positional, *more))
        return f"{type(self.model).__name__}.forward({shown})"


class Arguments(NamedTuple):
    """Positional and keyword arguments of a model."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def call(self, model: Module) -> Any:
        """Call the model with these arguments."""
        return model(*self.args, **self.kwargs)

    def same_tensors(self, other: "Arguments") -> bool:
        """Return whether both hold the same objects."""
        mine, others = (
            [*it.args, *it.kwargs, *it.kwargs.values()] for it in (self, other)
        )
        return len(mine) == len(others) and all(map(operator.is_, mine, others))


def call_form(model: Module) -> CallForm:
    """Return the parameters of a model's ``forward``.

    ``*args`` and ``**kwargs`` are replaced by the parameters of the wrapped model: the
    original of a compiled or data-parallel model, the attribute ``model`` or
    ``module``, or the only child. PyG's ``Sequential`` lists its arguments itself.
    """
    if isinstance(model, torch_geometric.nn.Sequential):
        names = tuple(model.signature.param_dict)
        return CallForm(model, names, names, names)
    found = _parameters(model)
    if found is None:  # a scripted model, which has no signature
        return CallForm(model, (), (), (), is_open=True)
    kinds = {it.kind for it in found}
    positional = tuple(
        it.name
        for it in found
        if it.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    )
    named = [
        it
        for it in found
        if it.kind in (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    ]
    names = tuple(it.name for it in named if it.name not in _unused(model))
    required = tuple(it.name for it in named if it.default is Parameter.empty)
    more = Parameter.VAR_POSITIONAL in kinds
    inner = _wrapped(model) if more or Parameter.VAR_KEYWORD in kinds else None
    if inner is None:
        return CallForm(model, positional, names, required, more)
    form = call_form(inner)
    # Parameters of this model, and those of the inner model that it fills.
    own = {*names, *form.positional[: len(positional)]}
    if more:
        positional += form.positional[len(positional) :]
    return CallForm(
        form.model,
        positional,
        (*names, *(it for it in form.names if it not in own)),
        (*required, *(it for it in form.required if it not in own)),
        more and form.is_open,
    )


def _parameters(model: Module) -> tuple[Parameter, ...] | None:
    """Return the parameters of ``forward``, or None if they cannot be read."""
    own = vars(model).get("forward")  # of compiled models and those with a new forward
    if own is None and inspect.isfunction(type(model).forward):
        return _parameters_of(type(model).forward)[1:]
    try:
        return tuple(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):
        return None


@lru_cache(maxsize=256)
def _parameters_of(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    return tuple(inspect.signature(function).parameters.values())


def model_arguments(data: Data | tuple[Any, ...]) -> tuple[Any, ...]:
    """Return ``(x, edge_index)`` of a graph, with ``edge_weight`` if it has one.

    These are the arguments of the standard models; a tuple of arguments is returned as
    it is. For models with other signatures use :func:`call_arguments`.

    Shapes:
        - **output:** :math:`(N, F)`, :math:`(2, E)` and :math:`(E,)`
    """
    if not isinstance(data, Data):
        return tuple(data)
    weight = data.get("edge_weight")
    return (data.x, data.edge_index) + (() if weight is None else (weight,))


def call_arguments(model: Module, data: Data) -> Arguments:
    """Return the arguments with which a model is called for a graph.

    The call is ``model(x, edge_index)``, extended by what the signature of ``forward``
    asks for and the data has:

    - ``edge_weight``, if a parameter is named ``edge_weight``, ``edge_weights``,
      ``weight``, ``weights``, ``w`` or ``ew``. A model without such a parameter, or a
      PyG model whose layers take no weights, is called without them, with a warning.
    - ``edge_attr`` and ``edge_type`` by name, except for PyG models whose layers have
      no ``edge_dim``.
    - ``batch`` by name, if the data is a :class:`~torch_geometric.data.Batch`.
    - Every other parameter without a default, by its name.

    A model whose only parameter is ``x`` is called with ``x``. For a model that takes
    ``*args`` of unknown meaning, the third argument is ``edge_weight`` or ``None``.

    Raises:
        TypeError: If the model takes the graph in another form, or needs what the data
            does not have.
        ValueError: If model and data are on different devices.
    """
    _check_device(model, data)
    form = call_form(model)
    args, kwargs = _features_and_edges(form, data), {}
    weight, name = data.get("edge_weight"), form.weight
    if form.is_open and len(form.positional) <= 2:
        args += (weight,)
    elif name is None:
        if weight is not None and len(args) == 2:
            _warn_of_weights(form)
    elif form.positional[2:3] == (name,):
        args += (weight,)
    elif weight is not None or name in form.required:
        kwargs[name] = weight
    given = {*form.positional[: len(args)], *kwargs}
    for key in form.names:
        if key in given:
            continue
        if data.get(key) is not None and (
            key in form.required
            or key in EDGE_KEYS
            or (key == "batch" and isinstance(data, Batch))
        ):
            kwargs[key] = data[key]
        elif key in form.required and key not in WEIGHT_NAMES:
            raise TypeError(
                f"{form} needs {key!r}, which the data does not have "
                f"(got {sorted(data.keys())}); give the data an attribute of that name"
            )
    return Arguments(args, kwargs)


def _features_and_edges(form: CallForm, data: Data) -> tuple[Any, ...]:
    """Return the positional arguments: features, and edges if the model takes them."""
    first, second = (*form.positional[:2], "", "")[:2]
    if first == "edge_index" or second == "x":
        known = False
    elif form.is_open or second not in ("", *NO_EDGES):
        known = first not in WHOLE or second == "edge_index"
    else:
        known = first not in ("", *WHOLE)
    if not known:
        raise TypeError(
            f"the model is called as model(x, edge_index), but {form} does not take "
            "these; wrap it in a module whose forward does"
        )
    if form.is_open or second not in ("", *NO_EDGES):
        return data.x, data.edge_index
    return (data.x,)


def _warn_of_weights(form: CallForm) -> None:
    """Warn once per model that the weights of the data are not used."""
    if form.model in _WARNED:
        return
    _WARNED.add(form.model)
    warnings.warn(
        f"'edge_weight' of the data is not used: {form} takes no weights. Name the "
        "parameter that does 'edge_weight', or delete the weights of the data to "
        "silence this",
        stacklevel=4,
    )


def _unused(model: Module) -> tuple[str, ...]:
    """Return the parameters of a PyG model that its layers ignore."""
    if not isinstance(model, BasicGNN):
        return ()
    features = any(getattr(it, "edge_dim", None) is not None for it in model.convs)
    weights = () if model.supports_edge_weight else ("edge_weight",)
    attributes = model.supports_edge_attr and features
    return weights if attributes else (*weights, "edge_attr")


def _wrapped(model: Module) -> Module | None:
    """Return the module to which a model most likely passes ``*args``."""
    for name in ("_orig_mod", "module", "model"):
        inner = getattr(model, name, None)
        if isinstance(inner, Module):
            return inner
    children = list(model.children())
    return children[0] if len(children) == 1 else None


def _check_device(model: Module, data: Data) -> None:
    # Parallel models and models with a replaced forward may move their input.
    if isinstance(model, DataParallel | DistributedDataParallel):
        return
    devices = {it.device for it in model.parameters()}
    if len(devices) != 1 or "forward" in vars(model):
        return
    device = devices.pop()
    for key in ("x", "edge_index"):
        found = getattr(data.get(key), "device", device)
        if found != device:
            raise ValueError(
                f"model and data must be on one device (got {device} and "
                f"'{key}' on {found}); call data.to({str(device)!r})"
            )
