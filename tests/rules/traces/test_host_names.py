"""Roles of host intervals by name, of every vintage."""

from __future__ import annotations

import pytest

from rules.traces.host_names import (
    HostRole,
    host_role,
    launches_graph,
    overhead_of_profiler,
    returns_at_once,
    waits_for_event,
)

NAMES = {
    HostRole.DATA: (
        "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__",
        "enumerate(DataLoader)#_MultiProcessingDataLoaderIter.__next__",
        "enumerate(DataLoader)",
        "torch/utils/data/dataloader.py(703): __next__",
        "/opt/lib/python3.12/site-packages/torch/utils/data/_utils/fetch.py(25): fetch",
        "torch/utils/data/_utils/pin_memory.py(20): do_one_step",
        "accelerate/data_loader.py(560): __iter__",
        "my_project/data_loader.py(12): __next__",
        "nvidia/dali/plugin/base_iterator.py(300): _get_outputs",
        "[pl][profile][_TrainingEpochLoop].train_dataloader_next",
        "## data_load ##",
        "data_loading",
        "load_batch",
        "get_batch",
    ),
    HostRole.IO: (
        "torch.save",
        "torch.load",
        "torch/serialization.py(940): save",
        "torch/distributed/checkpoint/state_dict_saver.py(90): save",
        "safetensors/torch.py(280): save_file",
        "trainer.py(2000): _save_checkpoint",
        "Trainer.save_checkpoint",
        "transformers/modeling_utils.py(3000): from_pretrained",
        "checkpoint_saving",
        "read",
        "pread64",
        "write",
        "fsync",
        "openat64",
    ),
    HostRole.COMM: (
        "gloo:all_reduce",
        "c10d::barrier",
        "_c10d_functional::wait_tensor",
        "ncclCommInitRankConfig",
        "MPI_Barrier",
        "torch/distributed/distributed_c10d.py(4000): barrier",
        "torch/distributed/rendezvous.py(200): _env_rendezvous_handler",
    ),
    HostRole.ALLOC: (
        "cudaMalloc",
        "cudaMalloc_v3020",
        "cudaMallocAsync",
        "cudaMallocHost",
        "cudaHostAlloc",
        "cudaHostRegister",
        "cudaFree",
        "cudaFreeHost",
        "cuMemAlloc_v2",
        "cuMemCreate",
        "cuMemAddressReserve",
        "hipMalloc",
        "hipHostMalloc",
        "hipExtMallocWithFlags",
        "hipFree",
    ),
    HostRole.COPY: (
        "cudaMemcpy",
        "cudaMemcpyAsync",
        "cudaMemcpy2DAsync",
        "cuMemcpyHtoD_v2",
        "cuMemcpyDtoHAsync_v2",
        "hipMemcpyWithStream",
        "cudaMemcpyToSymbol",
    ),
    HostRole.SYNC: (
        "cudaDeviceSynchronize",
        "cudaStreamSynchronize",
        "cudaEventSynchronize_v3020",
        "cuCtxSynchronize",
        "hipEventSynchronize",
        "Context Sync",
        "Stream Sync",
        "Stream sync",
    ),
    HostRole.LAUNCH: (
        "cudaLaunchKernel",
        "cudaLaunchKernel_v7000",
        "cudaLaunchKernelExC",
        "cudaLaunchCooperativeKernel",
        "cuLaunchKernel",
        "cuLaunchKernelEx",
        "cudaLaunchHostFunc",
        "cudaGraphLaunch",
        "cudaMemsetAsync",
        "hipLaunchKernel",
        "hipModuleLaunchKernel",
        "hipExtModuleLaunchKernel",
        "hipExtLaunchKernel",
        "hipGraphLaunch",
    ),
    HostRole.OVERHEAD: ("Buffer Flush", "Activity Buffer Request"),
    HostRole.OTHER: (
        "aten::copy_",
        "aten::item",
        "ProfilerStep#5",
        "load",
        "download",
        "fetch_loss",
        "upload_data",
        "custom_op",
        "current_stream",
        "cudaEventQuery",
        "cudaStreamWaitEvent",
        "Stream Wait Event",
        "cudaFuncSetAttribute",
        "CheckpointFunction",
        "CheckpointFunctionBackward",
        "torch/utils/checkpoint.py(480): checkpoint",
        "dataloader_bench/train.py(30): main",
        "load_state_dict",
        "## sparse_data_dist ##",
        "nn.Module: DataLoaderModel_0",
        "threading.py(655): wait",
        "<built-in method read of _io.BufferedReader object>",
        "nccl:all_reduce",
        "c10d::allreduce_",
        "",
    ),
}


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, names in NAMES.items() for name in names])
def test_roles(role: HostRole, name: str) -> None:
    assert host_role(name) is role


def test_what_the_program_would_do_anyway_is_no_overhead_of_the_profiler() -> None:
    own = (
        "Driver Compiler",
        "Runtime Triggered Module Loading",
        "Lazy Function Loading",
        "Command Buffer Full",
    )
    assert not any(overhead_of_profiler(name) for name in own)
    others = ("Buffer Flush", "CUPTI Buffer flush", "Instrumentation", "Resource", "Unrecognized")
    assert all(overhead_of_profiler(name) for name in others)


def test_calls_that_make_a_stream_wait() -> None:
    assert waits_for_event("cudaStreamWaitEvent") and waits_for_event("Stream wait event")
    assert not waits_for_event("cudaEventRecord")


def test_copies_that_return_at_once_say_so() -> None:
    assert returns_at_once("cuMemcpyHtoDAsync_v2") and not returns_at_once("cudaMemcpy")


def test_graph_launches() -> None:
    assert launches_graph("cudaGraphLaunch_v10000") and not launches_graph("cudaLaunchKernel")
