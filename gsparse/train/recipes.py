"""Training settings of the standard models for each data set.

The citation graphs use the settings of the GCN and GAT papers. Graphs with many labels
share two general settings, which were chosen on validation nodes only.
"""

from dataclasses import dataclass, field, replace

from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.data import card
from gsparse.nn.seeded import seeded
from gsparse.train.fit_config import FitConfig
from gsparse.train.models import build_model

GRAPH_MODELS = ("gcn", "gat", "sage")
MODELS = (*GRAPH_MODELS, "mlp")
BACKBONES = ("plain", "identity", "batch-norm", "gcnii")


@dataclass(frozen=True)
class Recipe:
    """A model and the settings of its training.

    Args:
        model: ``"gcn"``, ``"gat"``, ``"sage"`` or ``"mlp"``.
        options: Arguments of its constructor, without the numbers of channels that
            depend on the data set.
        fit: Settings of the fit.
    """

    model: str
    options: dict[str, int | float | str] = field(default_factory=dict)
    fit: FitConfig = field(default_factory=FitConfig)

    def build(self, data: Data, seed: int) -> Module:
        """Return a fresh model for a graph; equal seeds give equal models."""
        with seeded(seed):
            model = build_model(
                self.model, data.x.size(1), num_classes(data.y), **self.options
            )
        return model.to(data.x.device)


def num_classes(y: Tensor) -> int:
    """Return the largest label plus one; unlabelled nodes are -1.

    Example:
        >>> import torch
        >>> from gsparse.train.recipes import num_classes
        >>> num_classes(torch.tensor([2, -1, 0]))
        3
    """
    if y.dim() != 1:
        raise ValueError(
            f"'y' must hold one label per node, shape [N] (got {list(y.shape)}); "
            "multi-label data sets have no recipe"
        )
    return int(y.max()) + 1 if y.numel() else 0


_PLANETOID = ("Cora", "CiteSeer", "PubMed")

# The GCN and GAT papers' settings for the citation graphs.
_CITATION = {
    "gcn": Recipe(
        "gcn",
        {"hidden_channels": 16, "dropout": 0.5},
        FitConfig(lr=0.01, weight_decay=5e-4, decay_first_layer_only=True),
    ),
    "gat": Recipe(
        "gat",
        {"hidden_channels": 8, "heads": 8, "dropout": 0.6},
        FitConfig(lr=0.005, weight_decay=5e-4, epochs=500),
    ),
    "sage": Recipe(
        "sage",
        {"hidden_channels": 16, "dropout": 0.5},
        FitConfig(lr=0.01, weight_decay=5e-4),
    ),
    "mlp": Recipe(
        "mlp",
        {"hidden_channels": 16, "dropout": 0.5},
        FitConfig(lr=0.01, weight_decay=5e-3, decay_first_layer_only=True),
    ),
}


def _plain(
    dropout: float, attention_dropout: float, fit: FitConfig
) -> dict[str, Recipe]:
    """Return recipes with two layers of 64 channels (GAT: 8 heads of 8)."""
    options: dict[str, int | float | str] = {"hidden_channels": 64, "dropout": dropout}
    heads: dict[str, int | float | str] = {"hidden_channels": 8, "heads": 8}
    heads["attention_dropout"] = attention_dropout
    return {
        "gcn": Recipe("gcn", options, fit),
        "gat": Recipe("gat", options | heads, fit),
        "sage": Recipe("sage", options, fit),
        "mlp": Recipe("mlp", options, fit),
    }


# The bundled digits, with five labels per class.
_FEW_LABELS = _plain(0.5, 0.2, FitConfig(0.01, 5e-5, epochs=300, patience=50))

# Many labels and thousands of sparse features. This recipe and the next were chosen on
# the validation nodes of random splits with seed 100.
_WIDE = _plain(0.5, 0.2, FitConfig(0.01, 5e-5, epochs=500, patience=50))

# All other data sets, which have many labels and need little regularisation.
_GENERAL = _plain(0.2, 0.0, FitConfig(0.01, 5e-5, epochs=500, patience=50))

# Validation scores that still rise after a thousand epochs.
_SLOW = {("Computers", "gcn"), *(("tolokers", model) for model in GRAPH_MODELS)}

# Few epochs, since an epoch of 32 layers takes a second.
_DEEP = FitConfig(0.003, 5e-4, decay_first_layer_only=True, epochs=200, patience=50)


def recipe(dataset: str, model: str) -> Recipe:
    """Return the training settings of a standard model on a data set.

    Args:
        dataset: Name of a data set; data sets without a recipe of their own get the
            general settings.
        model: One of ``MODELS``.

    Raises:
        ValueError: If the model is unknown, or the metric of the data set is not
            supported.

    Example:
        >>> from gsparse.train import recipe
        >>> recipe("PubMed", "gat").options["output_heads"]
        8
    """
    _check_model(model)
    entry = card(dataset)
    families = dict.fromkeys(_PLANETOID, _CITATION) | {"digits": _FEW_LABELS}
    families |= dict.fromkeys(("Physics", "CS", "GitHub"), _WIDE)
    found = families.get(entry.name, _GENERAL)[model]
    if entry.name == "PubMed" and model == "gat":
        found = replace(
            found,
            options={**found.options, "output_heads": 8},
            fit=replace(found.fit, lr=0.01, weight_decay=1e-3),
        )
    if (entry.name, model) in _SLOW:
        found = replace(found, fit=replace(found.fit, epochs=2000, patience=200))
    return replace(found, fit=replace(found.fit, metric=entry.metric))


def general_recipe(model: str) -> Recipe:
    """Return the training settings of a standard model on a graph without a card.

    These are the settings of :func:`recipe` for data sets without a recipe of their
    own: two layers of 64 channels, at most 500 epochs, accuracy.

    Args:
        model: One of ``MODELS``.

    Raises:
        ValueError: If the model is unknown.

    Example:
        >>> from gsparse.train import general_recipe
        >>> general_recipe("gcn").options["hidden_channels"]
        64
    """
    _check_model(model)
    return _GENERAL[model]


def _check_model(model: str) -> None:
    if model not in MODELS:
        raise ValueError(f"'model' must be one of {', '.join(MODELS)} (got {model!r})")


def deep_recipe(dataset: str, num_layers: int, backbone: str = "plain") -> Recipe:
    """Return the training settings of a GCN of any depth, so that depths can be
    compared.

    Dropout is applied to the features only and weight decay to the first layer only. A
    GCN with both in each of 16 layers learns almost nothing on PubMed, with all edges
    or with few (validation, seed 100).

    Args:
        dataset: Name of a data set.
        num_layers: Number of layers.
        backbone: ``"plain"``; ``"identity"`` initialises hidden layers near the
            identity; ``"batch-norm"`` adds batch normalisation and a linear map of a
            node's own features, as in the `"DropEdge"
            <https://arxiv.org/abs/1907.10903>`_ paper; ``"gcnii"`` is
            :class:`~gsparse.train.GCNII`.

    Raises:
        ValueError: If the backbone is unknown.

    Example:
        >>> from gsparse.train import deep_recipe
        >>> deep_recipe("PubMed", 16).options["num_layers"]
        16
    """
    if backbone not in BACKBONES:
        known = ", ".join(BACKBONES)
        raise ValueError(f"'backbone' must be one of {known} (got {backbone!r})")
    options: dict[str, int | float | str] = {
        "hidden_channels": 64,
        "num_layers": num_layers,
        "dropout": 0.5,
        "hidden_dropout": 0.0,
    }
    if backbone == "identity":
        options |= {"near_identity": True}
    if backbone == "batch-norm":
        options |= {"batch_norm": True, "self_loop": True}
    fit = replace(_DEEP, metric=card(dataset).metric)
    if backbone == "gcnii":  # dropout and learning rate of its paper
        options |= {"hidden_dropout": 0.5}
        return Recipe("gcnii", options, replace(fit, lr=0.01))
    return Recipe("gcn", options, fit)
