"""Table of the tracing rules of torch functions."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from gsparse.compaction import mixing, pointwise, shapes, writes
from gsparse.compaction.call import Call, Rule
from gsparse.kernels import spmm_op
from gsparse.kernels.dropout import dropout as kernel_dropout

# ruff: noqa: ANN401 (torch functions take and return anything)

assert spmm_op  # its import registers the operator


def _everywhere(names: str) -> Iterable[Callable[..., Any]]:
    """Yield the functions with these names in torch, Tensor and functional."""
    for name in names.split():
        for place in (torch, Tensor, F, torch.sparse, torch._VF):
            if hasattr(place, name):
                yield getattr(place, name)


_CHANNELWISE = """
    relu relu_ elu elu_ leaky_relu leaky_relu_ gelu silu sigmoid sigmoid_ tanh tanh_
    softplus selu selu_ celu celu_ relu6 hardtanh hardtanh_ hardswish hardsigmoid mish
    logsigmoid softsign tanhshrink softshrink hardshrink rrelu threshold prelu exp log1p
    expm1 abs square sqrt rsqrt pow neg clamp clamp_ clamp_min clamp_max sin cos sign
    erf add add_ sub sub_ mul mul_ multiply div div_ divide true_divide maximum minimum
    __add__ __radd__ __iadd__ __sub__ __rsub__ __isub__ __mul__ __rmul__ __imul__
    __truediv__ __itruediv__ __neg__ __pow__ nan_to_num rsub
"""
_SAME = """
    contiguous clone detach detach_ to float double half bfloat16 type type_as cpu cuda
    view reshape flatten view_as reshape_as expand
    requires_grad_ as_subclass alias
"""
_ROWS = """
    scatter_add scatter_add_ scatter_reduce scatter_reduce_ scatter scatter_ index_add
    index_add_ index_reduce index_reduce_ index_copy index_copy_
"""


_NAMES: dict[Rule, str] = {
    pointwise.channelwise: _CHANNELWISE,
    pointwise.same_shape: _SAME,
    writes.scatter: _ROWS,
    mixing.gather: "gather",
    writes.assign: "__setitem__ index_put index_put_",
    writes.choose: "where",
    writes.fill: "masked_fill masked_fill_ fill_ zero_ index_fill index_fill_",
    writes.copy: "copy_",
    pointwise.drop_out: "dropout dropout_ alpha_dropout feature_alpha_dropout",
    mixing.linear: "linear",
    mixing.product: "matmul __matmul__ mm spmm",
    mixing.scaled_sum: "addmm",
    pointwise.widened: "expand_as",
    shapes.concatenate: "cat concat concatenate",
    shapes.stack: "stack",
    shapes.unsqueeze: "unsqueeze",
    shapes.squeeze: "squeeze",
    mixing.reduce: "sum mean amax amin max min norm std var prod logsumexp",
    mixing.kept_whole: "lstm gru rnn_tanh rnn_relu",
    mixing.softmax: "softmax log_softmax softmin",
    mixing.unit_length: "normalize",
    shapes.pick: "__getitem__ index_select narrow select",
    shapes.split: "split chunk tensor_split split_with_sizes",
    pointwise.like: "zeros_like ones_like empty_like rand_like randn_like full_like",
}
RULES: dict[Callable[..., Any], Rule] = {
    function: rule for rule, names in _NAMES.items() for function in _everywhere(names)
}
RULES[kernel_dropout] = pointwise.drop_out
RULES[torch.ops.gsparse.spmm.default] = mixing.rows

#: Functions that create tensors of a shape and do not read the channels.
_OF_A_SHAPE = "new_zeros new_ones new_empty new_full new_tensor"
UNREAD = set(_everywhere(f"{_OF_A_SHAPE} expand_as view_as reshape_as type_as"))

#: Functions that create tensors of zeros.
ZEROS = {"new_zeros", "zeros"}

#: Functions that convert a tensor to Python numbers.
_NUMBERS = set(_everywhere("item tolist numpy __float__ __bool__ __int__ __array__"))


def refusal(call: Call, path: str, kind: str, detail: str) -> ValueError:
    """Return an error that names the function and the module that called it."""
    name = torch.overrides.resolve_name(call.function) or str(call.function)
    place = f"{path!r} ({kind})" if path else kind
    shapes = [list(t.shape) for t in call.tensors if call.value_of(t) is not None]
    return ValueError(
        f"'model' must use known operations on its channels (got {name} of "
        f"{', '.join(map(str, shapes))} in {place}{detail}); rewrite that step, or "
        "compact the parts of the model around it"
    )


def decides(call: Call) -> bool:
    """Return whether a call computes integers or booleans from channels, such as
    argmax.
    """
    made = any(isinstance(leaf, Tensor) for leaf in tree_leaves(call.result))
    return call.function in _NUMBERS or (made and call.function not in UNREAD)


def holds_numbers(result: Any) -> bool:
    """Return whether a result has floating-point entries, which may come from
    channels.
    """
    return any(
        isinstance(leaf, Tensor) and (leaf.is_floating_point() or leaf.is_complex())
        for leaf in tree_leaves(result)
    )
