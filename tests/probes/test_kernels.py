"""The CUDA kernels: run on the host thread by thread, compiled by NVRTC, and their geometry."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import math
from pathlib import Path
from typing import Any

import pytest

from probes import streams as streams_module
from probes.counting import STREAM_BUFFERS, Stream
from probes.kernels import GRAIN_BYTES, RINGS, VARIANTS, Geometry, Kernels, Variant, load, source
from probes.lab import UnsupportedError
from probes.streams import Streams, pieces, ring_take, ring_tiles, word_sum
from tests.probes.host_cuda import HostCupy, compiler, kernel_names
from tests.probes.memory_lab import memory_lab

H100 = Geometry(sm_count=132, sm_threads=2048, sm_registers=65536)
# At most the registers that ptxas 12.9 gives a streaming kernel for sm_90.
REGISTERS = 56
ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def cupy(tmp_path_factory: pytest.TempPathFactory) -> HostCupy:
    if compiler() is None:
        pytest.skip("no C++ compiler to run the kernels with on the host")
    return HostCupy(tmp_path_factory.mktemp("kernels"), sm_count=3)


@pytest.fixture(scope="module")
def kernels(cupy: HostCupy) -> Kernels:
    return Kernels(cupy)


@pytest.fixture(scope="module")
def streams(torch: Any) -> Streams:
    buffers = [torch.empty(GRAIN_BYTES // 2, dtype=torch.float32) for _ in range(3)]
    return Streams(torch, buffers, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", ["read", "write", "copy", "triad"])
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.label)
def test_a_kernel_touches_every_element_once(
    kernels: Kernels, streams: Streams, kind: Stream, variant: Variant
) -> None:
    take = streams.by_kernel(kernels, kind, variant)
    assert take.check() is None
    assert take.shape is not None and take.shape.endswith(f"x {variant.block}")


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.label)
def test_a_kernel_stays_within_its_buffer(torch: Any, kernels: Kernels, variant: Variant) -> None:
    whole = [torch.zeros(GRAIN_BYTES // 2, dtype=torch.float32) for _ in range(3)]
    half = whole[0].numel() // 2
    part = Streams(torch, [w[:half] for w in whole], torch.Generator().manual_seed(0))
    for kind in STREAM_BUFFERS:
        assert part.by_kernel(kernels, kind, variant).check() is None
    assert not any(bool(w[half:].any()) for w in whole)


def test_the_timed_read_stores_nothing(kernels: Kernels, streams: Streams) -> None:
    streams.word.fill_(7)
    streams.by_kernel(kernels, "read", VARIANTS[0]).call()
    assert int(streams.word) == 7


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (("sum += folded(v[u]);", "sum += folded(v[0]);"), "read"),
        (("put<STREAM>(a + at + u * BLOCK, v[u])", "put<STREAM>(a + at, v[u])"), "copy"),
        (("b.w + s * c.w", "b.w + c.w"), "triad"),
        (("make_float4(s, s, s, s)", "make_float4(s, s, s, 0.0f)"), "write"),
    ],
)
def test_a_wrong_kernel_is_found(
    tmp_path: Path, cupy: HostCupy, streams: Streams, spoil: tuple[str, str], kind: Stream
) -> None:
    assert source().count(spoil[0]) >= 1
    wrong = Kernels(HostCupy(tmp_path, spoil=spoil), VARIANTS[:1], ())
    assert streams.by_kernel(wrong, kind, VARIANTS[0]).check() is not None


@pytest.mark.parametrize("ring", RINGS, ids=lambda v: v.label)
def test_the_ring_is_swept_evenly(torch: Any, kernels: Kernels, streams: Streams, ring: Variant) -> None:
    take = ring_take(torch, kernels, ring, streams, 300_000)
    assert take.check() is None
    held = take.extra["working_set_bytes"]
    assert 0 < held <= 300_000 and held % ring.tile_bytes == 0
    assert take.work is not None and take.work >= 500 * held


@pytest.mark.parametrize(("most", "grid"), [(381, 528), (16, 80), (8, 264), (1, 12), (0, 12)])
def test_ring_and_grid_have_no_common_divisor(most: int, grid: int) -> None:
    tiles = ring_tiles(most, grid)
    assert 1 <= tiles <= max(1, most) and (tiles == 1 or math.gcd(tiles, grid) == 1)


def test_every_variant_fits_the_grain_and_has_enough_in_flight() -> None:
    for variant in (*VARIANTS, *RINGS):
        assert GRAIN_BYTES % variant.tile_bytes == 0
        assert variant.unroll >= 4 or variant.once
        assert H100.blocks(variant.block, REGISTERS) * variant.tile_bytes >= 32 << 10


def test_blocks_of_an_sm_are_bounded_by_threads_and_registers() -> None:
    assert H100.blocks(512, 32) == 4
    assert H100.blocks(512, 33) == 3
    assert H100.blocks(512, 56) == 2
    assert H100.blocks(1024, 255) == 1
    assert Geometry(sm_count=40, sm_threads=1024, sm_registers=65536).blocks(512, 32) == 2


def test_a_grid_never_exceeds_the_tiles(cupy: HostCupy, kernels: Kernels) -> None:
    once, persistent = VARIANTS[0], VARIANTS[1]
    assert (
        kernels.stream("write", once, (0,), 8 * GRAIN_BYTES, 0.0).grid == 8 * GRAIN_BYTES // once.tile_bytes
    )
    assert kernels.stream("write", persistent, (0,), 8 * GRAIN_BYTES, 0.0).grid == 3 * 4
    with pytest.raises(ValueError, match="whole number"):
        kernels.stream("write", once, (0,), GRAIN_BYTES + 16, 0.0)


def test_each_kernel_is_defined_once() -> None:
    names = kernel_names(source())
    assert len(names) == len(set(names))
    assert {"read_u4_b512_cs", "triad_u4_b1024", "ring_u8_b512", "chase_l1", "chase_l2"} <= set(names)


def test_a_compiler_that_fails_is_a_reason(cupy: HostCupy) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("nvrtc: error: invalid value for --gpu-architecture\nmore")

    lab = memory_lab(cupy)
    lab.cupy.RawModule = broken
    try:
        with pytest.raises(UnsupportedError, match=r"cannot compile .*RuntimeError: nvrtc: error"):
            load(lab)
    finally:
        del lab.cupy.RawModule


def _nvrtc() -> Any:
    """The run-time compiler's library, or None: where a wheel puts it, else where the linker looks."""
    spec = importlib.util.find_spec("nvidia")
    folders = [Path(p) for p in (spec.submodule_search_locations or [])] if spec else []
    found = sorted(str(path) for folder in folders for path in folder.glob("**/libnvrtc.so.1?"))
    for name in (*found, "libnvrtc.so.13", "libnvrtc.so.12", ctypes.util.find_library("nvrtc")):
        try:
            return ctypes.CDLL(name) if name else None
        except OSError:
            continue
    return None


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nvrtc_compiles_every_kernel(architecture: str) -> None:
    nvrtc = _nvrtc()
    if nvrtc is None:
        pytest.skip("NVRTC is not installed")
    # As cupy 14 does; cupy 13 takes C++14, which the host emulation compiles as.
    options = [b"-std=c++17", b"--device-as-default-execution-space", f"-arch={architecture}".encode()]
    program = ctypes.c_void_p()
    text = source().encode()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, b"kernels.cu", 0, None, None) == 0
    code = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    assert code == 0 and b"error" not in log.value, log.value.decode()


class Sums:
    """torch, but for the number of elements of each sum that is taken in another type."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self.counts: list[int] = []

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = self._torch.Tensor.sum

        def watched(tensor: Any, *args: Any, **kwargs: Any) -> Any:
            self.counts.append(tensor.numel())
            return real(tensor, *args, **kwargs)

        monkeypatch.setattr(self._torch.Tensor, "sum", watched)


def test_checks_cast_a_part_at_a_time_and_know_the_sums_from_then_on(
    torch: Any, kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "_CHUNK", GRAIN_BYTES // 8)
    buffers = [torch.empty(GRAIN_BYTES // 4, dtype=torch.float32) for _ in range(3)]
    own = Streams(torch, buffers, torch.Generator().manual_seed(0))
    seen = Sums(torch)
    seen.watch(monkeypatch)
    assert [own.by_kernel(kernels, "read", v).check() for v in VARIANTS] == [None] * len(VARIANTS)
    assert own.by_torch("read").check() is None
    assert own.by_torch("read").check() is None
    assert seen.counts == [GRAIN_BYTES // 32] * 16, "eight parts, once as words and once as numbers"


def test_the_sum_of_words_is_that_of_the_whole_buffer(torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_module, "_CHUNK", 4096)
    buffer = torch.randn(10_001, generator=torch.Generator().manual_seed(1))
    whole = int(buffer.view(torch.int32).sum(dtype=torch.int64)) % (1 << 32)
    assert word_sum(torch, buffer) == whole
    assert [piece.numel() for piece in pieces(buffer)] == [1024] * 9 + [785]
