"""Load a sparse model, and the edges that it needs, from a folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.deploy.blueprint import Blueprint, Builder
from gsparse.deploy.fill_model import fill_model
from gsparse.deploy.install import install
from gsparse.deploy.layer_settings import check_settings
from gsparse.deploy.model_file import OTHER
from gsparse.deploy.own_builder import named_builder
from gsparse.deploy.pruned_models import FILE, SPECIFICATION, load_pruned
from gsparse.deploy.saved_graph import KEPT, WEIGHT, SavedGraph
from gsparse.deploy.tensor_file import Contents, damaged, read_tensor_file
from gsparse.nn.masked_parameters import mask_names
from gsparse.nn.seeded import seeded

FEATURES = "#kept_features."
"""First letters of the names of the features that a model must be given."""


@dataclass(frozen=True)
class Saved:
    """A model from a folder, and the edges that it was saved with.

    Args:
        model: The model, on the CPU and in evaluation mode.
        header: Version, numbers of weights, card and description of the model.
        graph: The kept edges; ``None`` if no graph was saved.
    """

    model: Module
    header: Mapping[str, Any]
    graph: SavedGraph | None = None

    def cut(self, data: Data) -> Data:
        """Return the graph that the model was saved with, from the original graph.

        The saved edges, and their weights if the saved graph had any, are kept. On this
        graph the model makes the predictions that it made when it was saved.

        Args:
            data: The original graph, with its edges in the original order; not changed.

        Raises:
            TypeError: If it is not one homogeneous graph.
            ValueError: If no graph was saved, or ``data`` is another graph: its nodes,
                edges, features, edge attributes or types differ.
        """
        if self.graph is None:
            raise ValueError(
                "the folder must hold a graph (got a model only); give save() the "
                "graph as 'data', or cut this one by its transform"
            )
        return self.graph.cut(data)


def load(
    folder: str | Path,
    *,
    model: Module | None = None,
    build: str | Builder | None = None,
) -> Saved:
    """Load a folder of :func:`save`, or one that ``gsparse prune`` has written.

    Reading runs no code from the folder: it has no pickle, and no module or function is
    imported because a file names it. Our own models and wrappers and PyG's basic models
    are built by their names. A model that was saved with another ``build`` is built by
    the function that you pass; it gets the saved arguments. All other models are passed
    as ``model``.

    Args:
        folder: Folder with ``model.safetensors``.
        model: A module to fill, with the layers and sizes of the saved one; masks are
            added where it has none. Settings of layers of torch, PyG and gsparse, such
            as ``heads``, must be those of the saved model. What is in no checkpoint,
            such as hooks, attributes of your own classes and buffers with
            ``persistent=False``, stays as it is in the module. It is not changed on an
            error.
        build: The function that built the innermost model, or its name
            ``module:function``, which is imported.

    Raises:
        ImportError: If safetensors is not installed.
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, was changed, is of a newer format, needs
            ``model`` or ``build``, or does not fit them.

    Example:
        See :func:`save`.
    """
    if model is not None and build is not None:
        raise ValueError("give one of 'model' and 'build' (got both)")
    return load_file(Path(folder) / FILE, model, build)


def load_file(
    path: Path, model: Module | None = None, build: str | Builder | None = None
) -> Saved:
    """Load a model file; see :func:`load`.

    Numbers and texts in the layers of libraries, such as a slope, must be as saved.
    """
    contents = read_tensor_file(path)
    header, graph = contents.header, _graph(path, contents)
    state = _state(contents)
    settings = header.get("layers") or {}
    if model is not None:
        fill_model(model, state, settings)
    elif SPECIFICATION in ((header.get("card") or {}).get("settings") or {}):
        return Saved(load_pruned(path.parent)[0].eval(), header)
    else:
        model = _built(path, header, state, build)
        check_settings(model, settings)
    _set_features(path, model, contents)
    return Saved(model.eval(), header, graph)


def _state(contents: Contents) -> dict[str, Tensor]:
    """Return the state of the model, with its masks."""
    return {
        name: value
        for name, value in {**contents.tensors, **contents.flags}.items()
        if not name.startswith(OTHER)
    }


def _built(
    path: Path,
    header: Mapping[str, Any],
    state: dict[str, Tensor],
    build: str | Builder | None,
) -> Module:
    """Build the model that a header describes, and give it the tensors."""
    if header.get("blueprint") is None:
        why = header.get("no_blueprint", "it was written by save_model")
        raise ValueError(
            f"{path} does not say how to build its model ({why}); build it and pass it "
            "as 'model'"
        )
    try:
        plan = Blueprint.from_record(header["blueprint"])
    except ValueError as error:
        raise damaged(path, error) from None
    make = None
    if build is not None:
        make = named_builder(build).build
    elif not plan.is_known:
        raise ValueError(
            f"{path} needs the function that built its model, {plan.build!r:.200}; "
            "names in files are not imported: import it and pass it as 'build'"
        )
    try:
        with seeded(0):
            model = plan.assemble(make, mask_names(state).values(), state)
        install(model, state)
    except (ValueError, TypeError, RuntimeError, KeyError, AttributeError) as error:
        if make is not None:
            raise ValueError(
                f"'build' does not make the model of {path} ({error})"
            ) from None
        raise damaged(path, error) from None
    return model


def _graph(path: Path, contents: Contents) -> SavedGraph | None:
    record = contents.header.get("graph")
    if record is None:
        return None
    try:
        kept, weight = contents.flags.get(KEPT), contents.tensors.get(WEIGHT)
        return SavedGraph.from_record(record, kept, weight)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, error) from None


def _set_features(path: Path, model: Module, contents: Contents) -> None:
    """Set the features that a compacted model must be given."""
    for number, entry in enumerate(contents.header.get("kept_features", ())):
        try:
            layer, key = entry
            owner: Any = model.get_submodule(layer)
            if key is not None and not isinstance(key, str):
                raise TypeError(f"{key!r:.80} is no name of features")
            columns = contents.tensors[f"{FEATURES}{number}"]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise damaged(path, error) from None
        if key is None:
            owner.kept_features = columns
        else:
            owner.kept_features = {**vars(owner).get("kept_features", {}), key: columns}
