"""Families, precision and tensor cores by name. Names follow the libraries' public naming schemes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.traces.kernel_names import MATRIX, READ_CHARS, KernelClass, kernel_class

_FILE = Path(__file__).with_name("kernel_names.tsv")


def _rows() -> list[tuple[str, str, str | None, str]]:
    lines = _FILE.read_text(encoding="utf-8").splitlines()[1:]
    cells = [line.split("\t") for line in lines]
    return [(name, family, None if how == "-" else how, tensor) for name, family, how, tensor in cells]


TABLE = _rows()


@pytest.mark.parametrize(("name", "family", "precision", "tensor"), TABLE, ids=lambda value: str(value)[:40])
def test_real_world_names(name: str, family: str, precision: str | None, tensor: str) -> None:
    found = kernel_class(name)
    assert (found.family, found.precision, found.tensor) == (family, precision, tensor)
    assert found.collective is (family == "collective")


@pytest.mark.parametrize(
    "name",
    [
        "void gemv2T_kernel_val<int, int, __half, __half>(int)",
        "void gemmk1_kernel<float, 256, 5, false>(int)",
        "_matmul_ogs_NNT_bf16xbf16xmxfp4_16x128x256x1",
        "Cijk_Alik_Bljk_BBS_BH_MT16x16x256_MI16x16x1",
        "void vllm::paged_attention_v2_kernel<unsigned short>(int)",
        "kernel_unified_attention_3d",
    ],
)
def test_few_rows_at_a_time(name: str) -> None:
    assert kernel_class(name).vector


@pytest.mark.parametrize(
    "name",
    [
        "void splitKreduce_kernel<float, float>(int)",
        "cask_cudnn::computeOffsetsKernel(cask_cudnn::ComputeOffsetsParams)",
        "void cudnn::winograd_nonfused::winogradForwardFilter4x4<float, float>(int)",
        "void flash::flash_fwd_splitkv_combine_kernel<Flash_fwd_kernel_traits<128>>(int)",
        "reduce_segments",
    ],
)
def test_what_stands_beside_the_main_kernel(name: str) -> None:
    assert kernel_class(name).helper


def test_main_kernels_are_no_helpers() -> None:
    assert not kernel_class("volta_scudnn_winograd_128x128_ldg1_ldg4_relu_tile148t_nt_v1").helper
    assert not kernel_class("volta_sgemm_128x64_nt").helper
    assert not kernel_class("volta_sgemm_128x64_nt").vector


@pytest.mark.parametrize(
    ("name", "misaligned"),
    [
        ("cutlass_75_tensorop_bf16_s1688gemm_bf16_256x128_tn_align1", True),
        ("cutlass_80_tensorop_bf16_s16816gemm_bf16_64x64_64x6_tn_align8", False),
        ("cutlass_80_tensorop_s1688gemm_128x128_16x5_nn_align4", False),
        ("cutlass_80_tensorop_s1688gemm_256x64_16x4_tn_align1", True),
        ("nvjet_tst_192x192_64x4_2x1_v_bz_coopB_bias_TNN", None),
    ],
)
def test_operands_that_cannot_be_read_16_bytes_at_a_time(name: str, misaligned: bool | None) -> None:
    assert kernel_class(f"void cutlass::Kernel2<{name}>({name}::Params)").misaligned is misaligned


def test_only_what_multiplies_matrices_can_use_tensor_cores() -> None:
    for name, family, _, tensor in TABLE:
        if family not in MATRIX:
            assert tensor == "not-eligible", name


@pytest.mark.parametrize(
    "piece", ["<", "(", "::", "a", "_mt8x", "16x16x", "void ", "float_e4m3_", "{lambda()#1}"]
)
def test_hostile_names_take_no_longer_than_what_is_read_of_them(piece: str) -> None:
    name = (piece * 100_000)[:100_000]
    began = time.process_time()
    assert kernel_class(name).family
    assert time.process_time() - began < 5.0  # takes ms; a pattern that backtracks takes minutes


@given(st.text(max_size=200))
@settings(max_examples=50, deadline=None)
def test_any_text_has_a_class(name: str) -> None:
    assert isinstance(kernel_class(name), KernelClass)


def test_what_stands_beyond_what_is_read_changes_nothing() -> None:
    name = "volta_sgemm_128x64_nt" + "(" * READ_CHARS
    assert kernel_class(name + "nccl") == kernel_class(name)
