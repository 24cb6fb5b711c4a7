"""Save a sparse model, and the edges that it needs, in one folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

import gsparse
from gsparse.deploy.blueprint import Blueprint, Builder
from gsparse.deploy.layer_settings import layer_settings
from gsparse.deploy.loading import FEATURES, FILE, load_file
from gsparse.deploy.model_card import ModelCard
from gsparse.deploy.model_diff import differences
from gsparse.deploy.model_file import OTHER, check_target, encoded, writing
from gsparse.deploy.model_state import State, count_weights, final_state
from gsparse.deploy.own_builder import Named, named_builder
from gsparse.deploy.saved_card import saved_card
from gsparse.deploy.saved_graph import KEPT, WEIGHT, SavedGraph
from gsparse.deploy.tell_blueprint import KEPT as FEATURES_OF
from gsparse.deploy.tell_blueprint import tell_blueprint
from gsparse.deploy.tensor_file import FORMAT
from gsparse.nn.calling import call_arguments
from gsparse.nn.evaluating import evaluating
from gsparse.nn.masked_parameters import mask_names
from gsparse.nn.seeded import seeded
from gsparse.nn.stale_caches import caches_aside

# ruff: noqa: ANN401 (what models return)


def save(
    folder: str | Path,
    model: Module,
    data: Data | None = None,
    *,
    build: str | Builder | None = None,
    arguments: Mapping[str, Any] | None = None,
    card: ModelCard | None = None,
) -> int:
    r"""Save a model with its masks, and the kept edges of its graph.

    The folder gets ``model.safetensors``, tensors with a JSON header, and a model card
    ``README.md``. :func:`load` reads it without pickle. The model may be dense, pruned,
    compacted, accelerated, or wrapped by a mask or :class:`~gsparse.nn.FastGAT`, in any
    combination.

    **How it is built again.** Our own models and PyG's GCN, GraphSAGE, GIN, GAT,
    EdgeCNN and MLP are recognised. For other models pass the function that returns the
    innermost one, before it was wrapped, pruned or compacted, and its arguments; pass
    it to :func:`load` too, since names in files are never imported. Otherwise
    :func:`load` needs a module to fill.

    **What is checked.** The file is read back before it replaces an older one. A model
    that can be built from it must have the layers, settings and tensors of the saved
    one, and the same predictions on ``data``, bit for bit.

    Values behind masks are not stored: after loading they are zeros. The state of a
    pruner is not stored either: call its ``finalize()`` first.

    Args:
        folder: Folder to write to; it is created. Its older files of these names are
            replaced, each at once, and stay as they are on an error.
        model: The model; not changed.
        data: Graph that the model is used on. If it was cut, its kept edges are stored
            as positions in the original graph, with their weights if it has any; for
            the full graph only marks are stored, by which :meth:`Saved.cut` refuses
            other graphs. Features are not stored.
        build: Class or function that returns the innermost model, or its name
            ``module:function``.
        arguments: Its keyword arguments, in JSON.
        card: Description of the model; ``None`` writes one.

    Returns:
        The size of the model file in bytes.

    Raises:
        ImportError: If safetensors is not installed.
        TypeError: If the state contains anything but dense tensors of real numbers,
            ``arguments`` are not JSON, or ``data`` is not one homogeneous graph.
        ValueError: If a pruner may still change the model, ``build`` makes another
            model, the loaded model has other predictions, or a foreign ``README.md``
            exists.

    Example:
        >>> import tempfile
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.data import planted_partition
        >>> from gsparse.deploy import load, save
        >>> from gsparse.prune import Magnitude, Pruner
        >>> from gsparse.transforms import RandomEdge
        >>> data = planted_partition(60, num_classes=3, seed=7)
        >>> thin = RandomEdge(sparsity=0.5, seed=7)(data)
        >>> model = GCN(data.num_features, 16, num_layers=2, out_channels=3).eval()
        >>> pruner = Pruner(model, Magnitude(), sparsity=0.9)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     size = save(folder, model, thin)
        ...     saved = load(folder)
        >>> again = saved.cut(data)
        >>> again.edge_index.equal(thin.edge_index)
        True
        >>> out = saved.model(again.x, again.edge_index)
        >>> out.equal(model(thin.x, thin.edge_index))
        True
    """
    path = Path(folder) / FILE
    if path.parent.exists() and not path.parent.is_dir():
        raise ValueError(f"'folder' must be a folder (got the file {path.parent})")
    check_target(path)
    state = final_state(model)
    if any(name.startswith(OTHER) for name in (*state.tensors, *state.masks)):
        raise ValueError(f"names of layers must not begin with {OTHER!r}")
    own = None if build is None else named_builder(build)
    plan, why = _plan(model, state, own, _json(arguments))
    graph = None if data is None else SavedGraph.of(data)
    tensors, flags = dict(state.tensors), dict(state.masks)
    header = _header(model, state)
    header |= {"blueprint": None if plan is None else plan.as_record()}
    header |= {"no_blueprint": why, "graph": graph and graph.as_record()}
    if graph is not None and graph.kept is not None:
        flags[KEPT] = graph.kept
        if graph.edge_weight is not None:
            tensors[WEIGHT] = graph.edge_weight
    header["kept_features"] = []
    for path_of, key, columns in _features(model):
        tensors[f"{FEATURES}{len(header['kept_features'])}"] = columns
        header["kept_features"].append([path_of, key])
    page = saved_card(card, model, header, plan, graph)
    header["card"] = page.as_record()
    content = encoded(header, tensors, flags)
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path, content, header, page) as temporary:
        if plan is not None:
            make = own.build if own is not None else None
            _check(model, state, load_file(temporary, build=make).model, data)
    return len(content)


def _plan(
    model: Module, state: State, own: Named | None, arguments: dict[str, Any] | None
) -> tuple[Blueprint | None, str | None]:
    """Return how the model is built again, or why that is not known."""
    masked = mask_names(state.masks).values()
    if own is None and arguments is not None:
        raise ValueError("'arguments' are those of 'build' (got them without it)")
    name, make = own if own is not None else ("", None)
    try:
        with seeded(0):
            tensors = state.tensors
            plan = tell_blueprint(model, masked, tensors, make, name, arguments)
            return plan, None
    except (ValueError, TypeError, AttributeError, KeyError, RuntimeError) as error:
        if own is not None:
            raise
        return None, str(error)


def _json(arguments: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the arguments as they come back from JSON."""
    if arguments is None:
        return None
    try:
        same = json.loads(json.dumps(dict(arguments)))
    except (TypeError, ValueError) as error:
        raise TypeError(f"'arguments' must be JSON ({error})") from None
    return same


def _header(model: Module, state: State) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": gsparse.__version__,
        "model": type(model).__name__,
        "weights": count_weights(state.tensors),
        "layers": layer_settings(model),
        "masked": sum(int((~keep).sum()) for keep in state.masks.values()),
    }


def _features(model: Module) -> list[tuple[str, str | None, Tensor]]:
    """Return the features that compacted models in a model must be given."""
    found: list[tuple[str, str | None, Tensor]] = []
    for path, module in model.named_modules():
        kept = vars(module).get(FEATURES_OF)
        if isinstance(kept, Tensor):
            found.append((path, None, kept))
        elif isinstance(kept, dict):
            found += [(path, key, columns) for key, columns in kept.items()]
    return found


def _check(model: Module, state: State, loaded: Module, data: Data | None) -> None:
    """Refuse a loaded model that differs from the saved one."""
    if not all(map(_same, state, final_state(loaded))):
        raise ValueError(f"the loaded {type(model).__name__} has other tensors")
    with evaluating(model):
        other = next(differences(model, loaded), None)
        if other is not None:
            raise ValueError(f"the loaded model differs: {other}")
        _check_unsaved(model, loaded)
        if data is None:
            return
        device = next((it.device for it in model.parameters()), torch.device("cpu"))
        same = _same(*(_run(it, data) for it in (model, loaded.to(device))))
    if not same:
        raise ValueError(
            f"the loaded {type(model).__name__} must have the predictions of the saved "
            "one (it does not); a model that draws at random in evaluation, or keeps "
            "what its 'build' does not return, cannot be saved like this: omit 'data' "
            "and 'build', and load it by load(folder, model=...)"
        )


def _check_unsaved(model: Module, loaded: Module) -> None:
    """Refuse values of buffers that no checkpoint has."""
    there = dict(loaded.named_modules(remove_duplicate=False))
    for path, layer in model.named_modules(remove_duplicate=False):
        for name in sorted(layer._non_persistent_buffers_set):
            held = [it._buffers.get(name) for it in (layer, there[path])]
            if not _same(*held):
                raise ValueError(
                    f"{f'{path}.{name}'.lstrip('.')!r} is a buffer with "
                    "persistent=False, which is not saved, and must have the values "
                    "that 'build' gives it (it does not); register it as persistent"
                )


@torch.no_grad()
def _run(model: Module, data: Data) -> Any:
    with caches_aside(model):
        return call_arguments(model, data).call(model)


def _same(a: Any, b: Any) -> bool:
    """Return whether two outputs have the same bits."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        both = a.shape == b.shape and a.dtype == b.dtype and a.layout == b.layout
        return both and all(map(torch.equal, _bits(a), _bits(b)))
    if isinstance(a, dict):
        return [*a] == [*b] and all(map(_same, a.values(), b.values()))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


def _bits(value: Tensor) -> list[Tensor]:
    """Return the bytes of the tensors that a tensor consists of."""
    if value.layout != torch.strided:
        value = value.to_sparse_coo().coalesce()
        return [*_bits(value.indices()), *_bits(value.values())]
    return [value.detach().cpu().contiguous().view(-1).view(torch.uint8)]
