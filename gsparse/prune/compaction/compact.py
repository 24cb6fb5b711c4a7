"""A smaller model with the same outputs."""

from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import Module
from torch.utils._pytree import tree_leaves

from gsparse.nn.evaluating import evaluating
from gsparse.nn.masked_parameters import CHILD, masked_names
from gsparse.prune.compaction.dead import Verdict, judge
from gsparse.prune.compaction.fold import fold_constants
from gsparse.prune.compaction.groups import groups_with_units, unmasked_copy
from gsparse.prune.compaction.inputs import InputSelection, places_of
from gsparse.prune.compaction.multiply_adds import multiply_adds
from gsparse.prune.compaction.recording import Recording
from gsparse.prune.compaction.report import (
    CompactionReport,
    GroupReport,
    report_groups,
)
from gsparse.prune.compaction.shrink import shrink
from gsparse.prune.compaction.trace import trace

Inputs = Literal["select", "sliced"]


def compact(
    model: Module, example: tuple[Any, ...], inputs: Inputs = "select"
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
      position) stays, and so does one unit of a layer that has none left.

    It follows PyG's and torch's ``Linear``, ``GCNConv``, ``SAGEConv``, ``GINConv``,
    ``GraphConv``, ``SGConv``, ``APPNP``, ``GATConv``, ``GATv2Conv``,
    ``TransformerConv``, their fast twins, batch, layer, graph and instance norms,
    JumpingKnowledge by concatenation and maximum, residuals, ``HeteroConv``, PyG's
    models and ``to_hetero``, other convolutions as far as they are made of known torch
    functions.
    Do not use it to go on pruning or training with a mask (the masks are gone), nor on
    a model whose code is bound to widths, such as ``x.view(-1, 64)``: that is refused.

    Costs a copy of the model and three forward passes on the example. For layers
    without dead units nothing is gained: use :func:`~gsparse.prune.to_sparse`.

    Args:
        model: A pruned model, with masks or with zeros in its weights; not changed.
        example: The tuple of arguments that it is called with; features are the
            matrices :math:`[N, F]` of floats among them, also in dictionaries.
        inputs: What becomes of features that nothing reads. With ``"select"`` the model
            is called as before: an
            :class:`~gsparse.prune.compaction.inputs.InputSelection` around it takes the
            others out. With ``"sliced"`` it has to be called with ``x[:, kept]``.

    Returns:
        The smaller model. Its ``kept_features`` are the columns that are read, a tensor
        or one by the name of each argument.

    Raises:
        ValueError: If the model does something to its channels that is not known, has
            lazy layers, or is in the hands of a pruner in training.
        RuntimeError: If the outputs on the example are not the same.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.prune import compact
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
    return _compact(model, example, inputs)[0]


def compaction_report(model: Module, example: tuple[Any, ...]) -> CompactionReport:
    """What :func:`compact` takes away, and which dead units it has to leave, and why.

    Args:
        model: As for :func:`compact`; not changed.
        example: As for :func:`compact`.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.prune import compaction_report
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
    small, groups = _compact(model, example, "select")
    full = unmasked_copy(model)
    return CompactionReport(
        groups,
        _count(full),
        _count(small),
        multiply_adds(full, example),
        multiply_adds(small, example),
    )


def _compact(
    model: Module, example: tuple[Any, ...], inputs: Inputs
) -> tuple[Module, tuple[GroupReport, ...]]:
    if inputs not in get_args(Inputs):
        raise ValueError(f"'inputs' must be 'select' or 'sliced' (got {inputs!r})")
    _refuse_soft_masks(model)
    small = unmasked_copy(model)
    before = small if isinstance(small, InputSelection) else None
    if before is not None:  # compacted already
        small = before.model
        example, _ = before.select(example, {})
    recording = trace(small, example)
    verdict = judge(recording)
    groups = report_groups(groups_with_units(recording, small), recording, verdict)
    expected = _outputs(small, example)
    fold_constants(verdict.folds)
    shrink(small, recording, verdict)
    found = places_of(small, example)
    places = {name: place for name, (place, _) in found.items()}
    device = next(tensor.device for _, tensor in found.values())
    kept = _kept_features(recording, verdict, device)
    selection = InputSelection(small, places, kept)
    _check(expected, _outputs(selection, example))
    whole = all(kept[name].numel() == x.size for name, x in recording.inputs.items())
    if before is not None:
        kept = {name: before.columns(name)[kept[name]] for name in kept}
        selection, whole = InputSelection(small, places, kept), False
    if inputs == "select" and not whole:
        selection.training = small.training
        return selection, groups
    small.kept_features = selection.kept_features  # type: ignore[assignment]
    return small, groups


def _kept_features(
    recording: Recording, verdict: Verdict, device: torch.device
) -> dict[str, Tensor]:
    return {
        name: verdict.kept[verdict.classes[value.units]].nonzero()[:, 0].to(device)
        for name, value in recording.inputs.items()
    }


def _refuse_soft_masks(model: Module) -> None:
    for name, module in model.named_modules():
        for masked in masked_names(module):
            if module._modules[CHILD][masked].soft is not None:
                raise ValueError(
                    f"the mask of {f'{name}.{masked}'.lstrip('.')!r} must be final "
                    "(got one in training); call the pruner's finalize() first"
                )


@torch.no_grad()
def _outputs(model: Module, example: tuple[Any, ...]) -> list[Tensor]:
    with evaluating(model):
        leaves = tree_leaves(model(*example))
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def _check(before: list[Tensor], after: list[Tensor]) -> None:
    """The outputs on the example are the same, to rounding."""
    for old, new in zip(before, after, strict=True):
        same = old.shape == new.shape
        if same and old.is_floating_point() and old.numel() > 0:
            size = old.nan_to_num(posinf=0, neginf=0).abs().max()
            error = (old - new).nan_to_num(posinf=0, neginf=0).abs().max()
            same = bool(error <= torch.finfo(old.dtype).eps ** 0.5 * (size + 1e-30))
        if not same:
            raise RuntimeError(
                "the compacted model must have the outputs of the model (got others); "
                "does it draw at random in evaluation, or is its code bound to widths?"
            )


def _count(model: Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
