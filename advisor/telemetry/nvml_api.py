"""The thin surface of NVML that the sampler needs, and its real implementation over `pynvml`.

Everything goes through `Nvml.call(function, *args)` with pynvml's function names, so that a test can put an
in-memory driver in its place and the error policy sees every call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

SUCCESS = 0
UNINITIALIZED = 1
INVALID_ARGUMENT = 2
NOT_SUPPORTED = 3
NO_PERMISSION = 4
NOT_FOUND = 6
DRIVER_NOT_LOADED = 9
TIMEOUT = 10
LIBRARY_NOT_FOUND = 12
FUNCTION_NOT_FOUND = 13
GPU_IS_LOST = 15
RESET_REQUIRED = 16
OPERATING_SYSTEM = 17
LIB_RM_VERSION_MISMATCH = 18
IN_USE = 19
ARGUMENT_VERSION_MISMATCH = 25
DEPRECATED = 26
UNKNOWN = 999


class NvmlError(Exception):
    """An NVML call that failed. `code` is nvmlReturn_t, `function` the call's name."""

    def __init__(self, code: int, function: str = "") -> None:
        super().__init__(f"{function}: NVML error {code}")
        self.code = code
        self.function = function


class Nvml(Protocol):
    """NVML as the sampler sees it. One thread only: GPM is not thread-safe."""

    def call(self, function: str, *args: Any) -> Any:
        """What pynvml's `function` returns for these arguments. Raises NvmlError."""
        ...


class PyNvml:
    """NVML through nvidia-ml-py, imported when the first object is made."""

    def __init__(self) -> None:
        import pynvml

        self._module = pynvml
        self._failure: type[Exception] = pynvml.NVMLError
        self._bound: dict[str, Callable[..., Any]] = {}

    def call(self, function: str, *args: Any) -> Any:
        """Call pynvml; its errors become NvmlError, text that is not UTF-8 is decoded with replacement."""
        try:
            return (self._bound.get(function) or self._bind(function))(*args)
        except self._failure as error:
            raise NvmlError(int(getattr(error, "value", UNKNOWN)), function) from None
        except UnicodeDecodeError as garbled:
            return bytes(garbled.object).decode(errors="replace")

    @property
    def simulated(self) -> bool:
        """True when the loaded library plays a scenario (tests/nvml_stub): no driver has this symbol."""
        return hasattr(self._module.nvmlLib, "advisorSimulatedNvml")

    def _bind(self, function: str) -> Callable[..., Any]:
        bound = getattr(self._module, function, None)
        if bound is None:
            raise NvmlError(FUNCTION_NOT_FOUND, function)
        self._bound[function] = bound
        return bound  # type: ignore[no-any-return]
