"""What torch's exporter to ONNX has no function for, as operators of ONNX: one function for each of torch's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from plait.core.errors import need

__all__ = ["translations"]


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """The table that `torch.onnx.export` takes: by torch's operator, what makes the nodes of the graph.

    Raises:
        MissingExtra: onnxscript (extra ``export``) is not installed.
    """
    import torch

    script = need("onnxscript", "export", "export to ONNX")
    op, ir = script.opset18, script.ir

    def layer(name: str, gates: Sequence[int], **how: Any) -> Callable[..., Any]:
        def of(x: Any, enter: Any, again: Any, bias: Any, bias_again: Any, backward: bool) -> Any:
            # torch's gates one after another in the order of ONNX; a first axis for the one direction
            size = again.shape[1]

            def sorted_(weight: Any) -> Any:
                parts = [op.Slice(weight, [g * size], [(g + 1) * size], [0]) for g in gates]
                return op.Unsqueeze(op.Concat(*parts, axis=0), [0])

            biases = op.Concat(sorted_(bias), sorted_(bias_again), axis=1)
            time_first = op.Transpose(x, perm=[1, 0, 2])
            direction = "reverse" if backward else "forward"
            out = getattr(op, name)(
                time_first, sorted_(enter), sorted_(again), biases, hidden_size=size, direction=direction, **how
            )
            return op.Transpose(op.Squeeze(out[0], [1]), perm=[1, 0, 2])

        return of

    def sort(x: Any, stable: bool | None = None, dim: int = -1, descending: bool = False) -> Any:
        # TopK puts the lower index first among equals: it is stable
        size = op.Gather(op.Shape(x), [dim])
        return op.TopK(x, size, axis=dim, largest=int(descending), sorted=1)

    def searchsorted(
        rising: Any, x: Any, out_int32: bool = False, right: bool = False, side: str | None = None, sorter: Any = None
    ) -> Any:
        # how many lie before: all against all, where torch halves the interval
        before = (op.LessOrEqual if right else op.Less)(op.Unsqueeze(rising, [-2]), op.Unsqueeze(x, [-1]))
        return op.ReduceSum(op.Cast(before, to=7), [-1], keepdims=0)  # 7: int64

    def where(condition: Any, x: Any, other: Any) -> Any:
        if x.dtype == ir.DataType.BOOL:  # onnxruntime has none for truth values
            return op.Or(op.And(condition, x), op.And(op.Not(condition), other))
        return op.Where(condition, x, other)

    def conv3d(
        x: Any,
        weight: Any,
        bias: Any = None,
        stride: Sequence[int] = (1,) * 3,
        padding: Sequence[int] = (0,) * 3,
        dilation: Sequence[int] = (1,) * 3,
        groups: int = 1,
    ) -> Any:
        # the exporter's own gives a bias of the wrong shape where there is none
        how = {"strides": list(stride), "pads": [*padding, *padding], "dilations": list(dilation), "group": groups}
        return op.Conv(x, weight, *([] if bias is None else [bias]), **how)

    return {
        torch.ops.plait.gru.default: layer("GRU", (1, 0, 2), linear_before_reset=1),
        torch.ops.plait.lstm.default: layer("LSTM", (0, 3, 1, 2)),
        torch.ops.aten.sort.stable: sort,
        torch.ops.aten.searchsorted.Tensor: searchsorted,
        torch.ops.aten.where.self: where,
        torch.ops.aten.conv3d.default: conv3d,
    }
