"""Description of a model in JSON, and the model that it describes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn import Module

from gsparse.compaction.unread import WholeInput
from gsparse.deploy import known_models, known_wrappers
from gsparse.nn import SparseLinear, accelerate
from gsparse.nn.masked_parameters import mask_parameter
from gsparse.nn.replace_modules import replace_modules

# ruff: noqa: ANN401 (attributes of layers of any kind)

SIZES = (
    *("in_channels", "out_channels", "hidden_channels", "channels", "channel_list"),
    *("in_features", "out_features", "num_features", "normalized_shape"),
    *("heads", "num_parameters"),
)
"""Attributes that compaction changes; a file may set these and no others."""

Builder = Callable[..., Module]


@dataclass(frozen=True)
class Blueprint:
    """How to build a model whose tensors are in a file.

    Args:
        build: Name of the class or function that builds the innermost model: a key of
            :data:`~gsparse.deploy.known_models.KNOWN`, or of a function that must be
            passed to ``load``. A name alone is never imported.
        arguments: Its keyword arguments.
        wrappers: Names and settings of the wrappers, from the innermost to the
            outermost.
        attention: Argument of :func:`~gsparse.nn.accelerate`, if it was called.
        sizes: Attributes of layers that compaction made smaller, by path.
        sparse: Layers that ``to_sparse`` replaced, and whether they have a bias, by
            path.
        guards: Path and width of the inputs that a compacted model refuses, by path.
    """

    build: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    wrappers: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    attention: str | None = None
    sizes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sparse: Mapping[str, bool] = field(default_factory=dict)
    guards: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def is_known(self) -> bool:
        """Whether the innermost model is one that a file may name."""
        return self.build in known_models.KNOWN

    def as_record(self) -> dict[str, Any]:
        """Return the fields as stored in the header of a file."""
        return asdict(self)

    @staticmethod
    def from_record(record: Any) -> "Blueprint":
        """Return the blueprint in a header.

        Raises:
            ValueError: If it is not as it was written.
        """
        try:
            plan = Blueprint(**record)
            wrappers = tuple((name, settings) for name, settings in plan.wrappers)
            kinds = [
                (plan.build, str),
                *[(name, str) for name, _ in wrappers],
                *[(settings, dict) for _, settings in wrappers],
                *[(it, dict) for it in (plan.arguments, plan.sizes, plan.guards)],
                (plan.sparse, dict),
                *[(it, dict) for it in plan.sizes.values()],
            ]
        except (TypeError, ValueError, AttributeError):
            raise ValueError("the description of the model is no such one") from None
        if not all(type(it) is kind for it, kind in kinds):
            raise ValueError("the description of the model has other types")
        return Blueprint(**{**vars(plan), "wrappers": wrappers})

    def assemble(
        self,
        build: Builder | None,
        masked: Iterable[str],
        state: Mapping[str, Tensor],
    ) -> Module:
        """Build the model with arbitrary weights, some of them without memory.

        Args:
            build: Function for the innermost model; ``None`` builds a known one.
            masked: Names of the parameters with a mask.
            state: Tensors of the model, by which a file may ask for no more layers or
                weights than it has.

        Raises:
            ValueError: If the description does not fit the model that is built.
        """
        if build is None:
            model = known_models.build_known(self.build, self.arguments, len(state))
        else:
            model = build_own(build, self.build, self.arguments)
        most = sum(it.numel() for it in state.values())
        for name, settings in self.wrappers:
            model = known_wrappers.wrap(name, settings, model, most)
        if self.attention is not None:
            model = accelerate(model, self.attention)  # type: ignore[arg-type]
        for owner, attribute in mask_places(model, masked):
            mask_parameter(owner, attribute)
        new = {
            _layer(model, path): SparseLinear(nn.Linear(1, 1, bias=bias is True))
            for path, bias in self.sparse.items()
        }
        model = replace_modules(model, new)
        for path, sizes in self.sizes.items():
            _set_sizes(_layer(model, path), path, sizes)
        for path, (name, width) in self.guards.items():
            if type(name) is not str or type(width) is not int:
                raise ValueError(f"{path!r:.60} has no such guard")
            guard = WholeInput(name, width)
            _layer(model, path).register_forward_pre_hook(guard)
        return model


def build_own(build: Builder, name: str, arguments: Mapping[str, Any]) -> Module:
    """Call the caller's own function.

    Raises:
        TypeError: If it does not return a module.
        ValueError: If it does not take the arguments.
    """
    try:
        model = build(**arguments)
    except TypeError as error:
        raise ValueError(
            f"{name} must take the saved arguments {sorted(arguments)} ({error})"
        ) from error
    if not isinstance(model, Module):
        raise TypeError(
            f"{name} must return a torch.nn.Module (got {type(model).__name__})"
        )
    return model


def mask_places(model: Module, masked: Iterable[str]) -> list[tuple[Module, str]]:
    """Return the layers and attributes of masked parameters, each once.

    A layer that is used twice has its parameters under two names.
    """
    found = {}
    for name in masked:
        path, _, attribute = name.rpartition(".")
        layer = _layer(model, path)
        found[id(layer), attribute] = layer, attribute
    return [*found.values()]


def is_size(name: str, value: Any) -> bool:
    """Return whether an attribute is a size that compaction changes."""
    entries = value if isinstance(value, list | tuple) else [value]
    return name in SIZES and all(type(it) is int and it >= 0 for it in entries)


def _layer(model: Module, path: str) -> Module:
    try:
        return model.get_submodule(path)
    except AttributeError:
        raise ValueError(f"the model has no layer {path!r:.60}") from None


def _set_sizes(layer: Any, path: str, sizes: Mapping[str, Any]) -> None:
    """Set sizes of a layer that has them, in the type that they have."""
    for name, value in sizes.items():
        old = vars(layer).get(name)
        if not is_size(name, value) or not is_size(name, old):
            raise ValueError(f"{f'{path}.{name}':.60} is no size of the model")
        if isinstance(value, list):
            kind = list if name == "channel_list" else tuple
            value = kind(value)
        setattr(layer, name, value)
