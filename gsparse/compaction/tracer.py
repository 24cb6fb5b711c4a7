"""Trace the channels of a model through every torch function that it calls."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.nn import Module
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from gsparse.compaction.call import Call, Refused, Result
from gsparse.compaction.functions import (
    RULES,
    ZEROS,
    decides,
    holds_numbers,
    refusal,
)
from gsparse.compaction.operations import Value
from gsparse.compaction.recording import Recording, Step

# ruff: noqa: ANN401 (torch functions take and return anything)


class Tracer(TorchFunctionMode):
    """Intercepts every call of a torch function, and of the layers that have rules.

    Only parameters, buffers and tensors computed from them and from literals are
    constants; all other tensors may differ for the next graph.

    Args:
        recording: The recording to extend.
        model: The model whose tensors are constants.
        varying: Steps whose numbers differ between runs.
    """

    def __init__(
        self, recording: Recording, model: Module, varying: frozenset[int] = frozenset()
    ) -> None:
        super().__init__()
        self.recording, self.model, self.varying = recording, model, varying
        self.depth = 0  # nesting depth of layers with their own rule
        self.path: list[tuple[str, Module]] = []
        self.called: set[str] = set()  # paths of modules
        self.steps: list[Step] = []
        self._values: dict[int, tuple[Tensor, Value, int]] = {}
        self._constants: Any = WeakTensorKeyDictionary()  # to the version they had
        self._zeros: Any = WeakTensorKeyDictionary()
        for module in model.modules():
            for leaf in tree_leaves(list(vars(module).values())):
                if isinstance(leaf, Tensor):
                    self._constants[leaf] = version(leaf)

    def value_of(self, tensor: Any) -> Value | None:
        """Return the value of a tensor, or None if its channels are not traced.

        Raises:
            ValueError: If it was changed by an untraced write.
        """
        held, value, seen = self._values.get(id(tensor), (None, None, 0))
        if held is not None and self._version(held) != seen:
            self._refuse_stale(held)
        return value

    def _refuse_stale(self, tensor: Tensor) -> None:
        path, module = self.path[-1]
        raise ValueError(
            "'model' must not write in place where another view is traced (got "
            f"a tensor {list(tensor.shape)} read in {path!r} "
            f"({type(module).__name__}) after it was written to through another "
            "view or layer); write to a clone() instead"
        )

    def set(self, tensor: Tensor, value: Value) -> Value:
        """Set the value of a tensor."""
        # The tensor is stored too, so that its id is not reused.
        self._values[id(tensor)] = tensor, value, self._version(tensor)
        return value

    def note(self, label: str, value: Value | None, numbers: tuple = ()) -> None:
        """Record a step."""
        self.steps.append(Step(label, self.path[-1][0], value, numbers))

    def is_constant(self, tensor: Tensor) -> bool:
        """Return whether a tensor belongs to the model or is computed from its tensors
        only.
        """
        return self._constants.get(tensor) == self._version(tensor)

    def _version(self, tensor: Tensor) -> int:
        with self.inside():
            return version(tensor)

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        first = args[0] if args else None
        zeros = isinstance(first, Tensor) and self._zeros.get(first) == version(first)
        known, stale = ({}, None) if self.depth else self._known((args, kwargs))
        result = function(*args, **kwargs)
        self._note_tensors(function, args, kwargs, result)
        if self.depth == 0:
            with self.inside():
                call = Call(
                    self.recording,
                    lambda tensor: known.get(id(tensor)),
                    function,
                    args,
                    kwargs,
                    result,
                    is_constant=self.is_constant,
                    on_zeros=zeros,
                    varying=len(self.steps) in self.varying,
                )
                self._record(call, stale)
        return result

    def _known(self, given: Any) -> tuple[dict[int, Value], Tensor | None]:
        """Return the values of the arguments before the call, and a stale argument."""
        found: dict[int, Value] = {}
        stale = None
        for leaf in tree_leaves(given):
            held, value, seen = self._values.get(id(leaf), (None, None, 0))
            if held is not None and value is not None:
                found[id(leaf)] = value
                stale = leaf if version(held) != seen else stale
        return found, stale

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Do not record calls within this context."""
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    @contextmanager
    def ended(self) -> Iterator[None]:
        """Attribute reads within this context to the caller of the model."""
        self.path.append(("", self.model))
        yield
        self.path.pop()

    def _note_tensors(self, function: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Note which parameters were read, and which tensors are constants or zeros
        now.
        """
        given = [it for it in tree_leaves((args, kwargs)) if isinstance(it, Tensor)]
        made = [it for it in tree_leaves(result) if isinstance(it, Tensor)]
        for tensor in given:
            if id(tensor) in self.recording.names:
                self.recording.read.add(self.recording.names[id(tensor)])
        constant = all(self.is_constant(it) for it in given)
        written = given[:1] if result is None else []
        for tensor in made + written:
            if constant:
                self._constants[tensor] = version(tensor)
            elif tensor in self._constants:
                del self._constants[tensor]
        if getattr(function, "__name__", "") in ZEROS:
            for tensor in made:
                self._zeros[tensor] = version(tensor)

    def _record(self, call: Call, stale: Tensor | None) -> None:
        if not call.values:
            if holds_numbers(call.result):
                self.pin(call.tensors)
            return
        writes = call.function is Tensor.__setitem__
        if not writes and not holds_numbers(call.result):
            if decides(call):
                self._decide(call, stale)
            return
        if call.name.startswith("new_"):
            return
        if stale is not None:
            self._refuse_stale(stale)
        path, module = self.path[-1]
        try:
            rule = RULES.get(call.function)
            if rule is None:
                raise Refused
            found = rule(call)
        except Refused as error:
            if all(map(self.recording.stays_whole, call.values)):
                self.pin(call.tensors)
                self.note(call.name, None)
                return
            kind, detail = type(module).__name__, str(error)
            raise refusal(call, path, kind, detail) from None
        self._set_results(call, found)

    def _decide(self, call: Call, stale: Tensor | None) -> None:
        """Record that integers or booleans are computed from all channels."""
        if stale is not None:
            self._refuse_stale(stale)
        for value in call.values:
            call.fixed(value, f"{call.name} reads every channel")
        self.note(call.name, None)

    def _set_results(self, call: Call, found: Result) -> None:
        numbers = tuple(map(repr, call.numbers))
        if isinstance(found, list):
            for tensor, value in zip(call.result, found, strict=True):
                self.set(tensor, value)
                self.note(call.name, value, numbers)
            return
        if found is not None:
            made = call.args[0] if call.result is None else call.result
            self.set(made if isinstance(made, Tensor) else made[0], found)
        self.note(call.name, found, numbers)

    def pin(self, tensors: Iterable[Tensor]) -> None:
        """Note parameters that are used on tensors that are not traced."""
        for tensor in tensors:
            if id(tensor) in self.recording.names:
                self.recording.pinned[id(tensor)] = tensor


def version(tensor: Tensor) -> int:
    """Return the number of writes through any view; 0 if it is not counted."""
    try:
        return tensor._version
    except (RuntimeError, NotImplementedError):  # tensors of inference mode
        return 0
