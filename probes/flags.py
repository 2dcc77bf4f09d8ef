"""torch's global flags that decide which GEMM runs: set for one measurement, then put back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, NamedTuple

Fp32 = Literal["ieee", "tf32"]
# torch 2.9 brought `fp32_precision`, and raises where it and the older flags are mixed.
_NEW_API = (2, 9)
_LEGACY_NAMES: dict[Fp32, str] = {"ieee": "highest", "tf32": "high"}


class _Flag(NamedTuple):
    get: Callable[[], Any]
    put: Callable[[Any], object]
    wanted: Any


@contextmanager
def gemm_flags(torch: Any, fp32: Fp32 = "ieee", *, fp16_accumulation: bool = False) -> Iterator[None]:
    """Within: fp32 GEMMs compute in `fp32`, fp16 ones accumulate in fp32 unless `fp16_accumulation`, and
    deterministic algorithms are not asked for. Afterwards, also after an exception, all is as it was."""
    with ExitStack() as stack:
        for flag in _flags(torch, fp32, fp16_accumulation):
            stack.callback(flag.put, flag.get())
            flag.put(flag.wanted)
        yield


@contextmanager
def cpu_threads(torch: Any, count: int) -> Iterator[None]:
    """Within: torch's operators on the CPU use `count` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def version(torch: Any) -> tuple[int, int]:
    """Major and minor version; (0, 0) of something that does not say."""
    found = re.match(r"(\d+)\.(\d+)", str(torch.__version__))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _flags(torch: Any, fp32: Fp32, fp16_accumulation: bool) -> list[_Flag]:
    flags = _fp32_flags(torch, fp32) if version(torch) >= _NEW_API else [_legacy_fp32(torch, fp32)]
    if hasattr(torch.backends.cuda.matmul, "allow_fp16_accumulation"):
        flags.append(_attribute(torch.backends.cuda.matmul, "allow_fp16_accumulation", fp16_accumulation))
    # Setting it loads torch's compiler, so it is left alone where it is off already, as it nearly always is.
    return [*flags, _deterministic(torch)] if torch.are_deterministic_algorithms_enabled() else flags


def _fp32_flags(torch: Any, fp32: Fp32) -> list[_Flag]:
    """cuBLAS's, and oneDNN's, which is never anything but exact here."""
    cublas = _attribute(torch.backends.cuda.matmul, "fp32_precision", fp32)
    return [cublas, _attribute(torch.backends.mkldnn.matmul, "fp32_precision", "ieee")]


def _legacy_fp32(torch: Any, fp32: Fp32) -> _Flag:
    return _Flag(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, _LEGACY_NAMES[fp32])


def _deterministic(torch: Any) -> _Flag:
    def get() -> tuple[bool, bool]:
        only_warn = torch.is_deterministic_algorithms_warn_only_enabled()
        return torch.are_deterministic_algorithms_enabled(), only_warn

    def put(state: tuple[bool, bool]) -> None:
        torch.use_deterministic_algorithms(state[0], warn_only=state[1])

    return _Flag(get, put, (False, False))


def _attribute(owner: Any, name: str, wanted: Any) -> _Flag:
    return _Flag(lambda: getattr(owner, name), lambda value: setattr(owner, name, value), wanted)
