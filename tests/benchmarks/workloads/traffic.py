"""Bytes that torch's operators read and write, seen from outside, to hold a workload's own count against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Traffic(TorchDispatchMode):  # type: ignore[misc]
    """Adds up, operator by operator, the tensors that it takes and gives. Views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Runs the operator, then counts it."""
        kwargs = dict(kwargs or {})
        result = func(*args, **kwargs)
        if not any(a.alias_info is not None and not a.alias_info.is_write for a in func._schema.returns):
            read = args[1:] if func is torch.ops.aten.copy_.default else args
            self.bytes += _size(read) + _size([result])
        return result


def _size(values: Iterable[Any]) -> float:
    tensors = [v for v in tree_leaves(list(values)) if isinstance(v, torch.Tensor)]
    return float(sum(t.numel() * t.element_size() for t in tensors))
