"""Model card of a saved sparse model."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch.nn import Module

from gsparse.deploy.blueprint import Blueprint
from gsparse.deploy.model_card import ModelCard
from gsparse.deploy.saved_graph import SavedGraph

_LOAD = """```python
from gsparse.deploy import load

saved = load("..."{extra})  # the folder of $file{comment}
{cut}logits = saved.model(data.x, data.edge_index{weight})
```"""
_CUT = "data = saved.cut(data)  # the original graph; any other is refused\n"


def saved_card(
    card: ModelCard | None,
    model: Module,
    header: Mapping[str, Any],
    plan: Blueprint | None,
    graph: SavedGraph | None,
) -> ModelCard:
    """Return the card of a model, or the given one with the way to load it.

    Args:
        card: The caller's own card.
        model: The model.
        header: Header of its file.
        plan: How it is built, if that is known.
        graph: The graph that it was saved with.
    """
    load = _load(plan, graph)
    if card is not None:
        return replace(card, load=load) if card.load == ModelCard.load else card
    settings: dict[str, Any] = {"Model": header["model"]}
    if plan is not None:
        settings["Built by"] = plan.build
        around = ", ".join(name for name, _ in plan.wrappers)
        settings["Around it"] = around or "nothing"
    if header["masked"]:
        settings["Masked weights"] = f"{header['masked']:,}"
    if graph is not None:
        settings["Nodes"] = f"{graph.num_nodes:,}"
        kind = "Edges" if graph.kept is None else "Edges kept"
        settings[kind] = f"{graph.num_edges:,} directed entries"
    return ModelCard(
        title=f"A sparse {header['model']}",
        description=_describe(graph),
        settings=settings,
        load=load,
        limitations=(
            "The file does not say how well the model predicts: add scores by "
            "`save(..., card=ModelCard(scores=...))`.",
            "Weights behind a mask are stored as zeros.",
        ),
    )


def _describe(graph: SavedGraph | None) -> str:
    if graph is None:
        return "A graph neural network, saved by gsparse."
    if graph.kept is None:
        return "A graph neural network and the mark of the graph that it was used on."
    return "A graph neural network and the edges of a cut graph that it was used on."


def _load(plan: Blueprint | None, graph: SavedGraph | None) -> str:
    extra, comment = "", ""
    if plan is None:
        extra, comment = ", model=model", ", and a model to fill"
    elif not plan.is_known:
        function = plan.build.partition(":")[2]
        extra, comment = f", build={function}", f", and {plan.build}"
    weighted = graph is not None and (
        graph.edge_weight is not None or graph.marks["edge_weight"] is not None
    )
    return _LOAD.format(
        extra=extra,
        comment=comment,
        cut="" if graph is None else _CUT,
        weight=", data.edge_weight" if weighted else "",
    )
