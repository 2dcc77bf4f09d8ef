"""The workloads' own CUDA kernels: compiled by cupy, given torch's buffers, launched on torch's stream."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from benchmarks.workloads.spec import Bench

# What a kernel may ask for without being allowed more.
_PLAIN_SHARED_BYTES = 48 << 10
# Of a card that does not tell its clock.
_USUAL_KHZ = 1_700_000


def source() -> str:
    """The CUDA C++ text."""
    return Path(__file__).with_suffix(".cu").read_text(encoding="utf-8")


class DeviceKernels:
    """The kernels on the current device. Raises UnavailableError where there is no cupy."""

    def __init__(self, bench: Bench) -> None:
        self._cupy = bench.cupy()
        self._torch, self._cuda = bench.torch, bench.device == "cuda"
        self._module = self._cupy.RawModule(code=source())
        self._attributes = self._cupy.cuda.Device().attributes
        self._functions: dict[str, Any] = {}

    def launch(self, name: str, grid: int, block: int, args: Sequence[Any], shared_bytes: int = 0) -> None:
        """Enqueue one. args: tensors, of which the kernel gets the address, integers and floats."""
        function = self._function(name, shared_bytes)
        values = tuple(a.data_ptr() if self._torch.is_tensor(a) else a for a in args)
        with self._stream():
            function((grid,), (block,), values, shared_mem=shared_bytes)

    @property
    def sm_count(self) -> int:
        """Multiprocessors of the device, or of the MIG instance."""
        return int(self._attributes["MultiProcessorCount"])

    @property
    def sm_threads(self) -> int:
        """Threads that an SM can hold."""
        return int(self._attributes["MaxThreadsPerMultiProcessor"])

    @property
    def shared_bytes_max(self) -> int:
        """Shared memory that a block can ask for."""
        return int(self._attributes["MaxSharedMemoryPerBlockOptin"])

    @property
    def clock_hz(self) -> float:
        """The SMs' highest clock."""
        return 1e3 * float(self._attributes.get("ClockRate") or _USUAL_KHZ)

    def _function(self, name: str, shared_bytes: int) -> Any:
        if name not in self._functions:
            self._functions[name] = self._module.get_function(name)
        function = self._functions[name]
        if shared_bytes > _PLAIN_SHARED_BYTES:
            function.max_dynamic_shared_size_bytes = shared_bytes
        return function

    def _stream(self) -> AbstractContextManager[object]:
        """torch's current stream as cupy's; both start with the default one."""
        handle = self._torch.cuda.current_stream().cuda_stream if self._cuda else 0
        if handle == 0:
            return nullcontext()
        stream = self._cupy.cuda.Stream
        if hasattr(stream, "from_external"):  # cupy 14
            known: AbstractContextManager[object] = stream.from_external(_Stream(handle))
            return known
        older: AbstractContextManager[object] = self._cupy.cuda.ExternalStream(handle)
        return older


class _Stream:
    """A stream by its handle, in CUDA's protocol for sharing one."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self._handle
