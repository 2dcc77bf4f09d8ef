"""Which workloads there are, and in which order a short session takes them."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from benchmarks.workloads.catalogue import WORKLOADS, in_turns, ordered
from benchmarks.workloads.spec import LABELS
from rules.headline import CAUSES

EXPECTED = {
    "host_launch": "eager_tiny_kernels small_batch_inference optimizer_unfused",
    "host_sync": "item_every_step logging_with_sync",
    "host_input": "loader_workers0 loader_python_decode loader_slow_disk loader_slow_worker "
    "tokenizer_each_step",
    "host_limits": "one_core_shared cgroup_cpu_limit gil_thread_pool blocking_checkpoint",
    "host_transfer": "pageable_copies small_h2d_copies",
    "memory_stream": "copy triad reduction transpose",
    "memory_pointwise": "elementwise_chain layer_norm_softmax adam_step",
    "memory_gather": "embedding_gather spmv sort fft_batched",
    "memory_decode": "decode_gemv_eager decode_gemv_graph kv_cache_attention",
    "compute_gemm": "gemm_fp16 gemm_bf16 gemm_tf32 gemm_fp8 gemm_int8",
    "compute_plain": "gemm_fp32_no_tf32 gemm_fp64 fma_dense",
    "compute_nets": "conv_net attention_prefill transformer_train",
    "device_shape": "one_block tail_waves low_occupancy_registers low_occupancy_shared atomics_contention",
    "idle": "free idle_held server_no_demand",
    "mixes": "prefill_decode host_compute_60_40 host_memory_40_60 power_capped_gemm",
}


def test_every_workload_is_there_in_its_family() -> None:
    found: dict[str, set[str]] = {}
    for workload in WORKLOADS.values():
        found.setdefault(workload.family, set()).add(workload.name)
    assert found == {family: set(names.split()) for family, names in EXPECTED.items()}
    assert len(WORKLOADS) >= 40


def test_the_first_are_one_of_each_class() -> None:
    """Nothing is labelled communication, as that takes two GPUs."""
    classes = {workload.label for workload in WORKLOADS.values()}
    assert classes == set(LABELS) - {"communication"}
    assert {workload.label for workload in list(WORKLOADS.values())[: len(classes)]} == classes


def test_causes_are_those_of_verdicts() -> None:
    slugs = {slug for workload in WORKLOADS.values() for slug in (workload.cause, *workload.causes)}
    assert slugs <= set(CAUSES)


def test_a_workload_says_what_it_is() -> None:
    for workload in WORKLOADS.values():
        assert workload.about.endswith("."), workload.name
        assert (workload.fix is None) <= (workload.fixed is None), workload.name
        assert (workload.setup is None) == (not workload.process), workload.name
        if workload.truth == "speedup":
            assert workload.fixed is not None, workload.name


def test_importing_the_catalogue_loads_no_torch() -> None:
    code = "import sys, benchmarks.workloads.catalogue; print({'torch', 'cupy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_turns_go_on_where_a_group_is_over() -> None:
    assert in_turns(["ab", "c", "def"]) == ["a", "c", "d", "b", "e", "f"]


def test_two_of_one_name_are_an_error() -> None:
    one = WORKLOADS["copy"]
    with pytest.raises(ValueError, match="one name"):
        ordered([one, msgspec.structs.replace(one, family="other")])
