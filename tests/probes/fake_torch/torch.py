"""Stands in for torch where a worker opens a simulated GPU: just what opening needs, and no figure at all.

Put its folder first in PYTHONPATH. FAKE_TORCH_CUDA: the CUDA version it was built for ("" for none);
FAKE_TORCH_ERROR: what opening CUDA says when it fails.
"""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

__version__ = "2.99.0"
version = SimpleNamespace(cuda=os.environ.get("FAKE_TORCH_CUDA", "13.0") or None)


class _Cuda:
    def __init__(self) -> None:
        self.visible = os.environ.get("CUDA_VISIBLE_DEVICES")

    def init(self) -> None:
        if error := os.environ.get("FAKE_TORCH_ERROR"):
            raise RuntimeError(error)
        assert self.visible, "the variable is set before torch is imported"

    def get_device_properties(self, _device: int) -> Any:
        return SimpleNamespace(multi_processor_count=7, L2_cache_size=1 << 20, major=9, minor=0)

    def mem_get_info(self, _device: int = 0) -> tuple[int, int]:
        return 1 << 30, 2 << 30

    def synchronize(self) -> None:
        pass

    def empty_cache(self) -> None:
        pass


cuda = _Cuda()


class _Tensor:
    def add_(self, _other: int) -> _Tensor:
        return self


def zeros(_size: int, *, device: str) -> _Tensor:
    assert device == "cuda:0"
    return _Tensor()
