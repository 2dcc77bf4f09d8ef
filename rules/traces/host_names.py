"""What a host interval does, told by its name: a launch, a wait, a copy, an allocation, data loading, ...

Names come from many vintages of profilers: CUDA and HIP calls with version suffixes (cudaLaunchKernel_v7000,
hipExtModuleLaunchKernel), record_function labels and NVTX ranges, Python frames ("path.py(12): function"),
C library calls (Nsight Systems), and CUPTI's own records. Of a Python frame only the function and the end of
the path count, never a folder on the way: a frame of a project called "dataloader" may last as long as it.
"""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache


class HostRole(IntEnum):
    """What a host interval is about, in the order in which it explains idle time (smaller wins)."""

    OVERHEAD = 0  # the profiler's own work
    DATA = 1  # a DataLoader waiting for or making a batch
    IO = 2  # checkpoints, files
    COMM = 3  # a wait for other ranks on the host
    ALLOC = 4  # cudaMalloc, cudaFree, pinned allocations
    COPY = 5  # memory copies issued by the host
    SYNC = 6  # waits for the device
    LAUNCH = 7  # kernel and graph launches
    OTHER = 8


Patterns = tuple[tuple[HostRole, re.Pattern[str]], ...]

_FRAME = re.compile(r"^(?P<path>[^:]*\.pyx?)\(\d+\): (?P<function>.*)$")
_API = re.compile(r"^(?:cuda|hip|cu)(?=[A-Z])(?P<call>\w+)$")
_CHECKPOINT = (
    r"(?:save|load|write|restore)_?(?:model_?|training_?|sharded_?)?checkpoint"
    r"|checkpoint_?(?:sav|load|writ|restor|io(?![a-z]))"
)

_CALLS: Patterns = (
    (
        HostRole.ALLOC,
        re.compile(
            r"(?:Ext)?(?:Malloc|Free|HostAlloc|HostMalloc|HostFree|HostRegister|HostUnregister)"
            r"|Mem(?:Alloc|Free|Host(?:Alloc|Register|Unregister)|Create|Map|Unmap|Release|SetAccess"
            r"|Address(?:Reserve|Free)|Pool(?:Create|Destroy|Trim))"
        ),
    ),
    (HostRole.COPY, re.compile(r"Memcpy|MemPrefetch")),
    (HostRole.SYNC, re.compile(r"(?:Device|Stream|Event|Ctx|Context|Thread)Synchronize")),
    (HostRole.LAUNCH, re.compile(r"\w*Launch|Memset")),
)
_PATHS: Patterns = (
    (
        HostRole.DATA,
        re.compile(
            r"(?:^|/)torch/utils/data/|(?:^|/)nvidia/dali/|(?:^|/)webdataset/|(?:^|/)ffcv/|"
            r"(?:^|/)accelerate/data_loader\.pyx?$|(?:^|/)datasets/(?:arrow|iterable)_dataset\.pyx?$"
        ),
    ),
    (
        HostRole.IO,
        re.compile(
            r"(?:^|/)torch/serialization\.pyx?$|(?:^|/)torch/distributed/checkpoint/|(?:^|/)safetensors/"
        ),
    ),
    (HostRole.COMM, re.compile(r"(?:^|/)torch/distributed/rendezvous\.pyx?$")),
)
_FUNCTIONS: Patterns = (
    (HostRole.IO, re.compile(rf"_?(?:{_CHECKPOINT})|save_pretrained$|from_pretrained$", re.IGNORECASE)),
    (HostRole.COMM, re.compile(r"(?:monitored_)?barrier$|init_process_group$")),
)
_LOADER_FUNCTIONS = re.compile(r"__next__$|__iter__$|_next_data$|next_batch$|get_batch$")
_LOADER_FILE = re.compile(r"(?:^|/)data_?loader\w*\.pyx?$", re.IGNORECASE)
_LABELS: Patterns = (
    (
        HostRole.DATA,
        re.compile(
            r"DataLoader|(?i:(?<![a-z])data[_ .-]?load(?:er|ing)?(?![a-z]))"
            r"|(?i:(?<![a-z])(?:next|get|fetch|load)[_ ](?:next_)?batch(?:es)?(?![a-z]))"
            r"|(?i:(?<![a-z])data_fetch(?![a-z]))"
        ),
    ),
    (
        HostRole.IO,
        re.compile(
            rf"(?<![a-z])(?:{_CHECKPOINT})|^torch\.(?:save|load)\b|^safetensors\b|DCP[_.](?:save|load)",
            re.IGNORECASE,
        ),
    ),
    (
        HostRole.COMM,
        re.compile(
            r"^(?:gloo|mpi|ucc):|c10d::.*(?:wait|barrier)|c10d_functional::wait|^ncclCommInit|TCPStore"
            r"|^MPI_(?:Wait|Barrier|Recv|Send|Allreduce|Allgather|Alltoall|Bcast|Reduce)"
        ),
    ),
    (
        HostRole.IO,
        re.compile(
            r"^(?:p?(?:read|write)v?2?|open(?:at)?|f(?:read|write|flush|open|close)|f(?:data)?sync|msync"
            r"|sendfile|copy_file_range|sync_file_range)(?:64)?$"
        ),
    ),
    (HostRole.SYNC, re.compile(r"^(?:Context|Stream|Event) [Ss]ync(?:hronize)?$")),
    (HostRole.OVERHEAD, re.compile(r"^(?:Buffer Flush|Activity Buffer Request|UVM Activity Init)$")),
)
_OF_THE_PROGRAM = re.compile(
    r"driver.compiler|module.loading|lazy.function|command.buffer.full", re.IGNORECASE
)
_WAIT_EVENT = re.compile(r"^(?:cuda|hip|cu)StreamWait(?:Event|Value)|^Stream [Ww]ait [Ee]vent")


@lru_cache(maxsize=65536)
def host_role(name: str) -> HostRole:
    """The role that a name tells; OTHER where it tells none."""
    if name.startswith("nn.Module: "):
        return HostRole.OTHER
    call = _API.match(name)
    if call is not None:
        return _first(_CALLS, call["call"])
    frame = _FRAME.match(name)
    return _frame_role(frame["path"], frame["function"]) if frame else _search(_LABELS, name)


def overhead_of_profiler(name: str) -> bool:
    """Whether a record of overhead is the profiler's own work. CUPTI also records as overhead what a program
    does without it: compiling PTX, loading modules and functions, waiting for room in the command buffer
    (CUpti_ActivityOverheadKind)."""
    return _OF_THE_PROGRAM.search(name) is None


def waits_for_event(name: str) -> bool:
    """Whether the call makes a stream wait for an event or a value in memory; the host does not wait."""
    return _WAIT_EVENT.search(name) is not None


@lru_cache(maxsize=4096)
def launches_graph(name: str) -> bool:
    """Whether the call launches a whole graph."""
    return "GraphLaunch" in name


def returns_at_once(name: str) -> bool:
    """Whether a copy call says that it does not wait for the copy; of pageable memory it may wait."""
    return "Async" in name


def _frame_role(path: str, function: str) -> HostRole:
    if _LOADER_FILE.search(path) and _LOADER_FUNCTIONS.search(function):
        return HostRole.DATA
    role = _search(_PATHS, path)
    return role if role is not HostRole.OTHER else _first(_FUNCTIONS, function)


def _first(patterns: Patterns, text: str) -> HostRole:
    return next((role for role, pattern in patterns if pattern.match(text)), HostRole.OTHER)


def _search(patterns: Patterns, text: str) -> HostRole:
    return next((role for role, pattern in patterns if pattern.search(text)), HostRole.OTHER)
