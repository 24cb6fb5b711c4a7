"""A smaller model with the same outputs."""

import warnings
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.compaction.dead import Verdict, judge
from gsparse.compaction.fold import fold_constants
from gsparse.compaction.groups import groups_with_units
from gsparse.compaction.inputs import InputSelection, forget_caches, places_of
from gsparse.compaction.multiply_adds import multiply_adds
from gsparse.compaction.probes import graphs_that_run
from gsparse.compaction.recording import Recording
from gsparse.compaction.report import (
    CompactionReport,
    GroupReport,
    report_groups,
)
from gsparse.compaction.shrink import shrink
from gsparse.compaction.trace import check_example, trace_all
from gsparse.compaction.unread import guard, unread_modules
from gsparse.compaction.verify import check_examples, check_graphs
from gsparse.nn.final_masks import check_final, unmasked_copy

Inputs = Literal["select", "sliced"]


class Compacted(NamedTuple):
    """A smaller model, and what is to be said about it."""

    model: Module
    groups: tuple[GroupReport, ...]
    unread: tuple[str, ...]
    skipped: tuple[str, ...]


def compact(
    model: Module,
    example: tuple[Any, ...],
    inputs: Inputs = "select",
    *,
    more: Sequence[tuple[Any, ...]] = (),
) -> Module:
    r"""A copy of a pruned model from which dead units are physically removed.

    A unit is dead if it is the constant 0 or nothing that matters reads it: features,
    hidden units, channels of attention heads, whole heads. Rows of the weights that
    make it, columns of those that read it, and its biases, attention vectors and norms
    go. The result is made of the same plain layers with other sizes, and in evaluation
    its outputs are those of the model for any input, to rounding.

    The model is run once on an example, and every step is followed channel by channel,
    so any Python code around layers will do. With :math:`W` a linear map that reads a
    unit,

    - a constant 0 is removed, through activations, :math:`\hat{A} X`, means, maxima,
      attention and batch norms as they are in evaluation;
    - another constant :math:`c` is removed if :math:`W c` can be added to a bias: if
      a linear map reads it with no propagation in between. :math:`\hat{A} c` is not the
      same for all nodes, and a mean is 0 for nodes without edges: such a unit stays;
    - a unit with zero columns in all readers is removed, and then what only it read;
    - the heads of an attention layer stay equally wide, and a head goes when all of it
      is dead; in a mean over heads one of zeros goes, the others are scaled;
    - a unit that is read together with all others (layer norms, softmax, slices by
      position) stays, and so does one unit of a layer that has none left. What is done
      to channels that all stay need not be known.

    It follows PyG's and torch's ``Linear``, ``GCNConv``, ``SAGEConv``, ``GINConv``,
    ``GraphConv``, ``SGConv``, ``APPNP``, ``GATConv``, ``GATv2Conv``,
    ``TransformerConv``, their fast twins, batch, layer, graph and instance norms,
    JumpingKnowledge by concatenation and maximum, residuals, ``HeteroConv``, PyG's
    models and ``to_hetero``, other convolutions as far as they are made of known torch
    functions.
    Only parameters, buffers and numbers written in the code are constants. Whatever is
    made of the arguments, such as ``x.mean()``, a degree or ``len(x)``, may be another
    one for the next graph. Items may be assigned by nodes (``h[mask] = 0.0``).

    **What is checked.** Besides the examples the model is run on four graphs made from
    each: 7 nodes and 9 edges, 11 and 30, one node and 4 nodes without edges, with other
    features, weights and floats, and some isolated nodes. A number of the code that
    differs between the runs is no constant. A run that goes another way than the
    example, by a branch such as ``if len(x) > 1``, is followed too, and what either
    needs stays. In the end the small model has the outputs of the model on all of these
    graphs, or it is refused. A graph that the model does not take (it raises) is left
    out; :func:`compaction_report` lists these.

    **What is not seen.** Branches that none of these runs takes: on other values of
    whole numbers, truth values and strings among the arguments (give an example of each
    in ``more``), or on thresholds that none of them crosses. Modules that no run uses
    are not compacted and are named in a warning; they raise an error if channels of
    their input were removed.

    Do not use it to go on pruning or training with a mask (the masks are gone), nor on
    a model whose code is bound to widths, such as ``x.view(-1, 64)``: that is refused.

    Costs a copy of the model, two forward passes on the example, and some on small
    graphs. For layers without dead units nothing is gained: use
    :func:`~gsparse.nn.to_sparse`.

    Args:
        model: A pruned model, with masks or with zeros in its weights; not changed.
        example: The tuple of arguments that it is called with; features are the
            matrices :math:`[N, F]` of floats among them, also in dictionaries.
        inputs: What becomes of features that nothing reads. With ``"select"`` the model
            is called as before: an
            :class:`~gsparse.compaction.inputs.InputSelection` around it takes the
            others out. With ``"sliced"`` it has to be called with ``x[:, kept]``.
        more: Further tuples of arguments, one for each other way in which the model is
            used, such as ``(x, edge_index, 1)`` for a second head.

    Returns:
        The smaller model. Its ``kept_features`` are the columns that are read, a tensor
        or one by the name of each argument.

    Raises:
        ValueError: If the model does something to its channels that is not known, has
            lazy layers, is bound to widths, or is in the hands of a pruner that is not
            done.
        RuntimeError: If the outputs on one of the graphs are not the same.

    Warns:
        UserWarning: If no example uses some of the modules.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.compaction import compact
        >>> model = GCN(5, 8, num_layers=2, out_channels=3)
        >>> with torch.no_grad():
        ...     _ = model.convs[0].lin.weight[:6].zero_()
        >>> x, edge_index = torch.ones(2, 5), torch.tensor([[0, 1], [1, 0]])
        >>> compact(model, (x, edge_index)).convs
        ModuleList(
          (0): GCNConv(5, 2)
          (1): GCNConv(2, 3)
        )
    """
    made = _compact(model, example, inputs, more)
    if made.unread:
        warnings.warn(
            f"no example uses {', '.join(made.unread)}: not compacted, and raises an "
            "error if channels of its input were removed; give an example of each use "
            "in 'more'",
            stacklevel=2,
        )
    return made.model


def compaction_report(
    model: Module,
    example: tuple[Any, ...],
    *,
    more: Sequence[tuple[Any, ...]] = (),
) -> CompactionReport:
    """What :func:`compact` takes away, and which dead units it has to leave, and why.

    Args:
        model: As for :func:`compact`; not changed.
        example: As for :func:`compact`.
        more: As for :func:`compact`.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.compaction import compaction_report
        >>> model = GCN(5, 8, num_layers=2, out_channels=3)
        >>> with torch.no_grad():
        ...     _ = model.convs[0].lin.weight[:6].zero_()
        ...     _ = model.convs[0].bias[0].fill_(1.0)
        >>> x, edge_index = torch.ones(2, 5), torch.tensor([[0, 1], [1, 0]])
        >>> print(compaction_report(model, (x, edge_index)))
        units        kind       before      after
        x            input           5          5
        convs.0.lin  hidden          8          3
          1 dead stay: constant but not 0
        convs.1.lin  output          3          3
        parameters                  75               30    40.0% left
        multiply-adds              172               72    41.9% left
    """
    made = _compact(model, example, "select", more)
    full = unmasked_copy(model)
    return CompactionReport(
        made.groups,
        _count(full),
        _count(made.model),
        multiply_adds(full, example),
        multiply_adds(made.model, example),
        made.unread,
        made.skipped,
    )


def _compact(
    model: Module,
    example: tuple[Any, ...],
    inputs: Inputs,
    more: Sequence[tuple[Any, ...]],
) -> Compacted:
    if inputs not in get_args(Inputs):
        raise ValueError(f"'inputs' must be 'select' or 'sliced' (got {inputs!r})")
    check_final(model)
    small = unmasked_copy(model)
    examples = [example, *more]
    for it in examples:
        check_example(small, it)
    before = small if isinstance(small, InputSelection) else None
    if before is not None:  # compacted already
        small = before.model
        examples = [before.select(it, {})[0] for it in examples]
    found = places_of(small, examples[0])
    graphs, skipped = graphs_that_run(small, examples)
    recording, runs = trace_all(small, examples, [it.arguments for it in graphs])
    unread = unread_modules(small, recording, runs)
    verdict = judge(recording)
    groups = report_groups(groups_with_units(recording, small), recording, verdict)
    fold_constants(verdict.folds)
    shrink(small, recording, verdict)
    guard(small, unread)
    device = next(tensor.device for _, tensor in found.values())
    kept = _kept_features(recording, verdict, device)
    places = {name: place for name, (place, _) in found.items()}
    selection = InputSelection(small, places, kept)
    check_examples(selection, runs[: len(examples)], verdict)
    check_graphs(selection, graphs, runs)
    forget_caches(small)
    whole = all(kept[name].numel() == x.size for name, x in recording.inputs.items())
    if before is not None:
        kept = {name: before.columns(name)[kept[name]] for name in kept}
        selection, whole = InputSelection(small, places, kept), False
    if inputs == "select" and not whole:
        selection.training = small.training
        return Compacted(selection, groups, unread, skipped)
    small.kept_features = selection.kept_features  # type: ignore[assignment]
    return Compacted(small, groups, unread, skipped)


def _kept_features(
    recording: Recording, verdict: Verdict, device: torch.device
) -> dict[str, Tensor]:
    return {
        name: verdict.kept[verdict.classes[value.units]].nonzero()[:, 0].to(device)
        for name, value in recording.inputs.items()
    }


def _count(model: Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
