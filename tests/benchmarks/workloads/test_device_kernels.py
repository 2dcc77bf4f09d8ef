"""The workloads' kernels: compiled by NVRTC where it is, launched on torch's stream; and the shared parts."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.workloads.device_kernels import DeviceKernels, source
from benchmarks.workloads.parts import MEMORY_FRAC, Loop, fitting, held
from benchmarks.workloads.spec import Bench
from tests.benchmarks.workloads.host_kernels import kernel_names
from tests.probes.test_kernels import _nvrtc

KERNELS = {
    "transpose",
    "chain",
    "fma_dense",
    "recur",
    "count_contended",
    "count_reduced",
    "follow_many_sums",
    "follow_few_sums",
}


def test_the_source_has_every_kernel() -> None:
    assert set(kernel_names(source())) == KERNELS


@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_90", "sm_100", "sm_120"])
def test_nvrtc_compiles_every_kernel(architecture: str) -> None:
    nvrtc = _nvrtc()
    if nvrtc is None:
        pytest.skip("NVRTC is not installed")
    options = [b"-std=c++17", b"--device-as-default-execution-space", f"-arch={architecture}".encode()]
    program = ctypes.c_void_p()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source().encode(), b"k.cu", 0, None, None) == 0
    code = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    assert code == 0


class FakeCupy:
    """Records on which stream a kernel was launched."""

    def __init__(self, *, protocol: bool) -> None:
        self.on: list[object] = []
        self._current: object = "default"
        self.cuda = SimpleNamespace(
            Device=lambda: SimpleNamespace(attributes={}),
            ExternalStream=lambda handle: self._stream(("external", handle)),
            Stream=SimpleNamespace(),
        )
        if protocol:
            self.cuda.Stream.from_external = lambda s: self._stream(("protocol", *s.__cuda_stream__()))

    def RawModule(self, *, code: str) -> Any:  # noqa: N802
        return SimpleNamespace(get_function=lambda _: self._launch)

    def _launch(self, grid: Any, block: Any, args: Any, *, shared_mem: int) -> None:
        self.on.append(self._current)

    def _stream(self, name: object) -> Any:
        from contextlib import contextmanager

        @contextmanager
        def scope() -> Any:
            self._current = name
            yield
            self._current = "default"

        return scope()


@pytest.mark.parametrize(
    ("handle", "protocol", "stream"),
    [(0, True, "default"), (7, True, ("protocol", 0, 7)), (7, False, ("external", 7))],
)
def test_a_kernel_goes_onto_torchs_stream(handle: int, protocol: bool, stream: object) -> None:
    cuda = SimpleNamespace(current_stream=lambda: SimpleNamespace(cuda_stream=handle))
    torch, cupy = SimpleNamespace(cuda=cuda, is_tensor=lambda _: False), FakeCupy(protocol=protocol)
    bench = Bench(torch=torch, cupy=lambda: cupy, device="cuda", small=True, seed=0, scratch="")
    DeviceKernels(bench).launch("recur", 1, 256, (1, 2.0))
    assert cupy.on == [stream]


def test_more_shared_memory_than_is_plain_is_asked_for(kernel_bench: Bench) -> None:
    kernels = DeviceKernels(kernel_bench)
    assert kernels.shared_bytes_max == 227 << 10 and kernels.clock_hz == 1e9
    x = kernel_bench.torch.zeros(4)
    kernels.launch("recur", 1, 2, (x, x, 4, 1, 1.0, 0.5), 100 << 10)
    assert x.tolist() == [0.5] * 4


def with_free(free: int) -> Bench:
    cuda = SimpleNamespace(mem_get_info=lambda: (free, 2 * free))
    torch = SimpleNamespace(cuda=cuda)
    return Bench(torch=torch, cupy=lambda: None, device="cuda", small=False, seed=0, scratch="")


def test_sizes_follow_the_free_memory() -> None:
    assert fitting(with_free(80 << 30), 1 << 30, 8) == 1 << 30
    some = fitting(with_free(8 << 30), 1 << 30, 8, 1024)
    assert some % 1024 == 0 and 8 * some <= MEMORY_FRAC * (8 << 30) < 8 * (some + 1024)
    assert fitting(with_free(0), 1 << 30, 8, 32) == 32


def test_a_loop_accounts_for_all_its_calls() -> None:
    calls: list[int] = []
    loop = Loop(lambda: calls.append(1), 3, bytes=5.0, flops=2.0)
    assert loop() == {"bytes": 15.0, "flops": 6.0} and len(calls) == 3


def test_what_is_held_is_put_back_after_an_error() -> None:
    owner = SimpleNamespace(benchmark=False)
    with pytest.raises(RuntimeError), held(owner, "benchmark", True):
        assert owner.benchmark is True
        raise RuntimeError
    assert owner.benchmark is False
