"""Activities: which kind of work a stack shows, by a table of frames.

A stack is read from the inside out; the first frame that the table knows names the activity. Some frames
name one only where no outer frame says better: a thread that waits on a lock inside a DataLoader waits for
the loader, so locks, sleeps and reads are looked at last.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

OTHER = "other"
# Activities in which a thread waits or sleeps and does no work of its own.
WAITING: frozenset[str] = frozenset(
    {
        *("loader-wait", "queue-wait", "collective", "lock", "gil", "io"),
        *("remote", "network", "child", "blocked", "idle"),
    }
)
# The thread stands at a `with`: it waits for a lock where it uses no core there, and works where it does.
ENTERING = "entering"
# Only the innermost frames are looked at: the outermost ones are the same in every stack.
DEPTH = 60


class FrameText(NamedTuple):
    """One frame as py-spy prints it. file: as given, line 0 where there is none (native frames).

    inner: the function of a library that it called, where that one is what tells the activity.
    """

    function: str
    file: str
    line: int = 0
    inner: str = ""

    @property
    def native(self) -> bool:
        """Whether the frame belongs to a compiled library, which has a path and no line."""
        return self.line <= 0


class Named(NamedTuple):
    """What a stack shows, and the frame that says so."""

    activity: str
    frame: FrameText


class _Pattern(NamedTuple):
    """A function (whole name, of which methods are the last part) in a file whose path matches."""

    activity: str
    file: re.Pattern[str]
    function: re.Pattern[str]

    def matches(self, frame: FrameText) -> bool:
        return bool(self.file.search(frame.file) and self.function.search(frame.function))


def _pattern(activity: str, file: str, function: str = "") -> _Pattern:
    return _Pattern(activity, re.compile(file), re.compile(function))


# Names of the CUDA runtime and driver API, PyTorch and CPython, as their sources and documentation have them.
_DIRECT: tuple[_Pattern, ...] = (
    # native frames
    _pattern("synchronise", "", r"^_?cu(da)?(Stream|Device|Event|Ctx)(Synchronize|WaitEvent)"),
    _pattern("synchronise", "", r"_local_scalar_dense|local_scalar_dense_cuda|StreamSynchronize"),
    _pattern("transfer", "", r"^cu(da)?Memcpy|copy_kernel_cuda|^cu(da)?HostRegister"),
    _pattern("launch", "", r"^cu(da)?LaunchKernel|^cu(da)?GraphLaunch|^cuLaunch"),
    _pattern("gil", "", r"^(take_gil|PyEval_(Acquire|Restore)Thread|PyGILState_Ensure|drop_gil)$"),
    # what a process waits for
    _pattern("loader-wait", r"torch/utils/data/dataloader\.py$", r"_(try_)?get_data$|_next_data$"),
    _pattern("loader-wait", r"(tensorflow|webdataset|nvidia/dali)/.*\.py$", r"(__next__|share_outputs)$"),
    _pattern("synchronise", r"torch/cuda/(__init__|streams|graphs)\.py$", r"synchronize$|\.wait$"),
    _pattern("synchronise", r"torch/_tensor\.py$", r"__(repr|str|format|bool|float|int|array)__$|tolist$"),
    _pattern("synchronise", r"torch/_tensor_str\.py$"),
    # what it does itself
    _pattern("tokenise", r"(^|/)(tokenizers|tiktoken|sentencepiece|mistral_common)/"),
    _pattern("tokenise", r"transformers/.*tokeni[sz]ation\w*\.py$"),
    _pattern("tokenise", r"(^|/)tokeni[sz]er\w*\.(py|so)|tokenizers\.\w*\.?so"),
    _pattern("checkpoint", r"torch/serialization\.py$", r"save"),
    _pattern("checkpoint", r"torch/distributed/checkpoint/|safetensors/(torch|numpy)\.py$", r"save|write"),
    _pattern("checkpoint", r"(orbax|flax|transformers|accelerate|lightning)/", r"save_(check|pre|state)"),
    _pattern("serialise", r"(^|/)(pickle|pickletools|shelve|marshal|copyreg)\.py$|_pickle\."),
    _pattern("serialise", r"(^|/)json/(encoder|decoder|__init__|scanner)\.py$|(orjson|ujson|simplejson)/"),
    _pattern("serialise", r"(^|/)(msgpack|msgspec|cloudpickle|dill|pyarrow|yaml|zstandard|lz4)/"),
    _pattern("serialise", r"google/protobuf/|(^|/)(gzip|bz2|lzma|zipfile|_compression)(/\w+)?\.py$|libzstd"),
    _pattern("serialise", r"torch/serialization\.py$"),
    _pattern("serialise", r"multiprocessing/reduction\.py$"),
    _pattern("decode", r"(^|/)(PIL|cv2|imageio|skimage|albumentations|librosa|soundfile|decord|av|kornia)/"),
    _pattern("decode", r"torchvision/(transforms|io|datasets)/|torchaudio/(transforms|functional|backend)"),
    _pattern("decode", r"libjpeg|libturbojpeg|libpng|libavcodec|libopencv"),
)  # fmt: skip

# Functions of the MPI standard, NCCL, Gloo and torch.distributed; any of them may wait for the other ranks.
_COLLECTIVE = (
    r"(i?all_?reduce|all_?gather|all_?to_?all|reduce_?scatter|broadcast|bcast|barrier|reduce|gather|scatter"
    r"|sendrecv|batch_isend_irecv|i?send|i?recv)"
)
_COLLECTIVES: tuple[_Pattern, ...] = (
    _pattern("collective", r"torch/distributed/(distributed_c10d|rendezvous|_functional_collectives)\.py$",
             rf"(^|\.|_){_COLLECTIVE}|wait|^(init_process|new)_group|rendezvous"),
    _pattern("collective", r"(^|/)(deepspeed/comm|horovod|mpi4py)/", rf"{_COLLECTIVE}|wait|synchronize"),
    _pattern("collective", r"(^|/)jax/experimental/multihost_utils\.py$"),
    _pattern("collective", "", r"^c10d::\w*(Work|Gloo|MPI)|^gloo::|ProcessGroup\w+::.*(wait|synchronize)"),
    _pattern("collective", "", rf"(?i)^p?(nccl|mpi_){_COLLECTIVE}|^P?MPI_Wait"),
)  # fmt: skip
# What a thread is seen at beneath a collective while it waits there.
_BENEATH: frozenset[str] = frozenset({"synchronise", "transfer", "launch", "gil"})

# What the frames within it wait at is a detail: a client of a data store, a child process.
_AROUND: tuple[_Pattern, ...] = (
    _pattern("remote", r"(^|/)(fsspec|s3fs|gcsfs|adlfs|botocore|boto3|s3transfer|smart_open|pyarrow/fs)\b"),
    _pattern("child", r"(^|/)subprocess\.py$"),
    _pattern("child", r"(^|/)multiprocessing/popen_\w+\.py$", r"(wait|poll)$"),
    _pattern("child", "", r"^(wait4|waitpid|waitid)$"),
)  # fmt: skip

# Taking from a queue is a wait on a lock inside; that it is a queue says more.
_QUEUES: tuple[_Pattern, ...] = (
    _pattern("queue-wait", r"(^|/)queue\.py$", r"(get|put)\w*$"),
    _pattern("queue-wait", r"(^|/)multiprocessing/(queues|connection)\.py$", r"(get|put|recv|poll)\w*$"),
    _pattern("queue-wait", r"(^|/)(futures/_base|multiprocessing/pool)\.py$", r"(result|next|get)$"),
)  # fmt: skip

# Frames that only say how a thread waits or reads; what for is said by the frames around them.
_INDIRECT: tuple[_Pattern, ...] = (
    _pattern("idle", r"(^|/)(socket|socketserver)\.py$", r"(^|\.)(accept|get_request|serve_forever)$"),
    _pattern("network", r"(^|/)(ssl|socket|socketserver|http/client)\.py$"),
    _pattern("network", r"(^|/)(aiohttp|urllib3|requests|httpx|httpcore|grpc)/"),
    _pattern("io", r"(^|/)(h5py|lmdb|zarr)/"),
    _pattern("io", r"(^|/)(shutil|tarfile|pathlib|tempfile)\.py$"),
    _pattern("io", "", r"^(__)?(p?(read|write)(64|v)?|f(data)?sync|open(at)?(64)?)$"),
    _pattern("network", "", r"^(__)?(recv|send)(from|to|m?msg)?$"),
    _pattern("idle", "", r"^(__)?accept4?$"),
    _pattern("idle", r"(^|/)(selectors|asyncio/\w+|select)\.py$"),
    _pattern("idle", r"(^|/)concurrent/futures/thread\.py$", r"^_worker$"),
    _pattern("idle", "", r"^(epoll_wait|poll|ppoll|select|pselect|(clock_)?nanosleep|time_sleep)$"),
    _pattern("lock", r"(^|/)threading\.py$", r"(^|\.)(acquire|wait|wait_for|__enter__|join|_wait_\w+)$"),
    _pattern("lock", r"(^|/)multiprocessing/(synchronize|pool|process)\.py$"),
    _pattern("lock", r"(^|/)(concurrent/futures/_base|filelock/\w+|portalocker/\w+)\.py$"),
    _pattern("lock", "", r"^(PyThread_acquire_lock|lock_PyThread|sem_(timed)?wait|pthread_mutex_lock)"),
)  # fmt: skip

# Frames of the framework itself: the host prepares and launches work of the GPU.
_FRAMEWORK: tuple[_Pattern, ...] = (
    _pattern("launch", r"torch/(nn|optim|autograd|amp|_ops|functional|_compile|_dynamo|_inductor)\b"),
    _pattern("launch", r"(^|/)(jax|flax|cupy|triton|flash_attn|xformers|apex)/"),
    _pattern("launch", r"libtorch|libcuda|libcublas|libcudnn", r"^at::|^c10::|^torch::|^cu|^cublas|^cudnn"),
    _pattern("decode", r"(^|/)(numpy|pandas|scipy|PIL)/"),
)

# What the source line of the innermost Python frame calls: C functions have no frame of their own there.
# `.to(` copies where it is given a device; given a type it is a kernel like any other.
_DEVICE = r"(\s*\d+\s*[,)]|(?=[^()]*(device|cuda(:\d+)?|gpu|dev|rank|non_blocking)\b))"
_LOCK = r"(\w*_)?r?(lock|mutex|sem(aphore)?)s?\b"
_COMM = r"\b(\w*dist(ributed)?|\w*comm(_world)?|hvd|mpi)\."
_LINES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("collective", re.compile(rf"{_COMM}{_COLLECTIVE}(_\w+)?\(", re.IGNORECASE)),
    ("collective", re.compile(r"\b\w*(work|handle|req|request)s?(\[\w+\])?\.wait\(", re.IGNORECASE)),
    ("synchronise", re.compile(r"\.(item|tolist)\(\)|synchronize\(|\.(cpu|numpy)\(\)|\.to\(\s*[\"']cpu")),
    ("transfer", re.compile(rf"\.cuda\(|\.to\({_DEVICE}|\.pin_memory\(|\.copy_\(")),
    ("serialise", re.compile(r"\b(c?[pP]ickle|marshal|orjson|ujson|msgpack|zlib|zstd|lz4)\w*\.\w+\(")),
    ("tokenise", re.compile(r"\btokeni[sz]e\w*\(|\btokeni[sz]er\w*(\.\w+)?\(")),
    ("io", re.compile(r"\bos\.(fsync|sync|pread|open)\(|\.(read|write|readline|flush)\(|\bopen\(")),
    ("network", re.compile(r"\.(recv\w*|sendall)\(")),
    ("child", re.compile(r"\bos\.wait\w*\(|\bsubprocess\.\w+\(|\.communicate\(")),
    ("lock", re.compile(rf"\.acquire\(|\bwith\s+([\w.]*\.)?{_LOCK}", re.IGNORECASE)),
    ("idle", re.compile(r"\bsleep\(|\.accept\(|\bselect\(|\bsignal\.(pause|sigwait)\w*\(|\binput\(")),
    ("launch", re.compile(r"\.backward\(|(optim\w*|opt)\.step\(|\bmodel\(|torch\.\w+\(|\.to\(")),
)  # fmt: skip


_WITH = re.compile(r"\s*(async\s+)?with\b")
# Lines that only say how a thread waits: a queue around them says what for.
_HOW: frozenset[str] = frozenset({"lock", "io", "network", "idle"})
# Folders of the standard library and of installed packages, frozen modules, and scripts of installers.
_LIBRARY = re.compile(
    r"(^|/)lib(64)?/(python|pypy)[\d.]*t?/|(^|/)(site|dist)-packages/|^<frozen |python3\d*\.zip/|/bin/[^/.]+$"
)


def name_activity(inside_out: Sequence[FrameText], source_line: str = "") -> Named:
    """The activity of one stack, innermost frame first; `other` where no frame says anything.

    source_line: text of the line that the innermost Python frame stands at, "" where it cannot be read.
    """
    frames = inside_out[:DEPTH]
    by_line = _by_line(frames, source_line)
    known = _collective(frames, _first(frames, _DIRECT)) or _first(frames, _AROUND)
    if by_line is not None and by_line.activity not in _HOW:
        known = known or by_line
    known = known or _first(frames, _QUEUES) or by_line
    for table in (_INDIRECT, _FRAMEWORK):
        known = known or _first(frames, table)
    if known is not None:
        return known
    leaf = innermost_python(frames) or (frames[0] if frames else FrameText("?", "?"))
    if _WITH.match(source_line):
        return Named(ENTERING, leaf)
    return Named("compute" if frames else OTHER, leaf)


def shown_frame(inside_out: Sequence[FrameText], named: FrameText) -> FrameText:
    """The nearest frame of the program's own files at or around `named`; that one where there is none."""
    start = inside_out.index(named) if named in inside_out else 0
    own = next((frame for frame in inside_out[start:] if is_own(frame)), None)
    if own is None or own == named:
        return named
    return own._replace(inner=named.function)


def is_own(frame: FrameText) -> bool:
    """Whether the frame is of the program itself: of no library, and nothing that an installer wrote."""
    return not frame.native and not _LIBRARY.search(frame.file)


def innermost_python(inside_out: Sequence[FrameText]) -> FrameText | None:
    """The innermost frame that has a line of source."""
    return next((frame for frame in inside_out if not frame.native), None)


def _first(frames: Sequence[FrameText], table: Sequence[_Pattern]) -> Named | None:
    for frame in frames:
        for pattern in table:
            if pattern.matches(frame):
                return Named(pattern.activity, frame)
    return None


def _collective(frames: Sequence[FrameText], direct: Named | None) -> Named | None:
    """The collective around what the thread is seen at; that alone where there is none, or it does work."""
    if direct is not None and direct.activity not in _BENEATH:
        return direct
    return _first(frames, _COLLECTIVES) or direct


def _by_line(frames: Sequence[FrameText], source_line: str) -> Named | None:
    leaf = innermost_python(frames)
    if leaf is None or not source_line:
        return None
    return next((Named(slug, leaf) for slug, pattern in _LINES if pattern.search(source_line)), None)
