"""Compact a pruned model into a smaller model with the same outputs."""

import logging
import warnings
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.compaction.dead import Verdict, judge
from gsparse.compaction.fold import fold_constants
from gsparse.compaction.groups import groups_with_units
from gsparse.compaction.inputs import InputSelection, places_of
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
from gsparse.nn.stale_caches import forget

logger = logging.getLogger("gsparse.compaction")
Inputs = Literal["select", "sliced"]


class Compacted(NamedTuple):
    """A compacted model, and the information for its report."""

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
    r"""Return a copy of a pruned model from which dead units are physically removed.

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

    A unit is a feature, a hidden unit, a channel of an attention head, or a whole head.
    It is dead if it is the constant 0 or if no needed operation reads it. The rows of
    the weights that produce it, the columns of those that read it, and its biases,
    attention vectors and norm parameters are removed. The result consists of the same
    plain layers with other sizes. In evaluation its outputs equal those of the model
    for any input, up to rounding.

    The model is run once on an example, and every step is traced channel by channel, so
    that any Python code around layers is supported. With :math:`W` a linear map that
    reads a unit,

    - a constant 0 is removed, through activations, :math:`\hat{A} X`, means, maxima,
      attention and batch norms in evaluation mode;
    - another constant :math:`c` is removed if :math:`W c` can be added to a bias, that
      is, if a linear map reads it without propagation in between. :math:`\hat{A} c`
      differs between nodes, and a mean is 0 for nodes without edges: such a unit is
      kept;
    - a unit with zero columns in all readers is removed, and then all units that only
      it read;
    - the heads of an attention layer keep equal widths, and a head is removed if all of
      it is dead; in a mean over heads, heads of zeros are removed, the others scaled;
    - a unit that is read together with all others (layer norms, softmax, slices by
      position) is kept, and every layer keeps at least one unit. Unknown operations are
      allowed on channels that are all kept.

    Supported are PyG's and torch's ``Linear``, ``GCNConv``, ``SAGEConv``, ``GINConv``,
    ``GraphConv``, ``SGConv``, ``APPNP``, ``GATConv``, ``GATv2Conv``,
    ``TransformerConv``, their fast versions, batch, layer, graph and instance norms,
    JumpingKnowledge by concatenation and maximum, residuals, ``HeteroConv``, PyG's
    models and ``to_hetero``, and other convolutions that consist of known torch
    functions. Only parameters, buffers and numbers in the code are constants. Values
    computed from the arguments, such as ``x.mean()``, a degree or ``len(x)``, may
    differ for the next graph. Items may be assigned by nodes (``h[mask] = 0.0``).

    **What is checked.** Besides the examples the model is run on four graphs made from
    each: 7 nodes and 9 edges, 11 and 30, one node, and 4 nodes without edges, with
    other features, weights and floats, and some isolated nodes. A number of the code
    that differs between the runs is not treated as a constant. A run that takes another
    branch than the example, such as ``if len(x) > 1``, is traced too, and units that
    any run needs are kept. Finally the outputs of the small model and the model are
    compared on all of these graphs; an error is raised if they differ. Graphs on which
    the model itself raises an error are skipped; :func:`compaction_report` lists them.

    **What is not checked.** Branches that none of these runs takes: for other integers,
    booleans and strings among the arguments (give an example of each in ``more``), or
    for thresholds that none of the runs crosses. Modules that no run uses are not
    compacted and are named in a warning; they raise an error if channels of their input
    were removed.

    Do not use it before further pruning or training with masks (the masks are gone), or
    on a model with hard-coded widths, such as ``x.view(-1, 64)``, which is refused. For
    layers without dead units there is no gain: use :func:`~gsparse.nn.to_sparse`.

    It costs a copy of the model, two forward passes on the example, and some on small
    graphs.

    Args:
        model: A pruned model, with masks or with zeros in its weights; not changed.
        example: The tuple of arguments that it is called with; features are the
            floating-point matrices :math:`[N, F]` among them, also in dictionaries.
        inputs: How features that nothing reads are removed. With ``"select"`` the model
            is called as before: an
            :class:`~gsparse.compaction.inputs.InputSelection` around it selects the
            others. With ``"sliced"`` it must be called with ``x[:, kept]``.
        more: Further tuples of arguments, one for each other way in which the model is
            used, such as ``(x, edge_index, 1)`` for a second head.

    Returns:
        The smaller model. Its ``kept_features`` are the columns that are read: a
        tensor, or a dictionary by argument name.

    Shapes:
        - **x:** :math:`(N, F)`
        - **kept_features:** :math:`(F',)`

    Raises:
        ValueError: If the model uses an unknown operation on its channels, has lazy
            layers or hard-coded widths, or its pruner has not finished.
        RuntimeError: If the outputs differ on one of the graphs.

    Warns:
        UserWarning: If no example uses some of the modules.
    """
    made = _compact(model, example, inputs, more)
    if made.unread:
        warnings.warn(
            f"no example uses {', '.join(made.unread)}: not compacted, raises an error "
            "if channels of its input were removed; give an example of each use in "
            "'more'",
            stacklevel=2,
        )
    if all(group.after == group.before for group in made.groups):
        logger.warning(
            "compact removed nothing: no unit is dead in every layer that makes it, "
            "such as both sides of a residual; see compaction_report(model, example)"
        )
    return made.model


def compaction_report(
    model: Module,
    example: tuple[Any, ...],
    *,
    more: Sequence[tuple[Any, ...]] = (),
) -> CompactionReport:
    """Report what :func:`compact` removes, and which dead units it keeps and why.

    Args:
        model: See :func:`compact`; not changed.
        example: See :func:`compact`.
        more: See :func:`compact`.

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
    forget(small)
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
