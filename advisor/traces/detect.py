"""Which format a file is in, told by how it begins; and what is said of files that are no traces."""

from __future__ import annotations

import os
import re
import shlex
import stat
import zlib
from pathlib import Path

from advisor.traces.errors import TraceError

SQLITE = b"SQLite format 3\x00"
_LOOK = 4096
_ARCHIVES: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a zip archive", "unzip"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "zstd -d"),
    (b"\xfd7zXZ\x00", "compressed by xz", "xz -dk"),
    (b"BZh", "compressed by bzip2", "bzip2 -dk"),
    (b"7z\xbc\xaf", "a 7z archive", "7z x"),
)
# export_memory_timeline: [[times], [sizes]], or raw [[time, action, size, category], ...]; and a snapshot.
_MEMORY = re.compile(
    rb'\[\s*\[\s*-?\d+\s*[,\]]|\{\s*"(?:segments|device_traces|allocator_settings|external_annotations)"\s*:'
)
_KINETO = (
    "Give the file that torch.profiler's export_chrome_trace() wrote, or an Nsight Systems SQLite export."
)


def kind_of(path: Path) -> str:
    """ "json" (also compressed by gzip) or "sqlite". Raises TraceError for anything else."""
    begin = _begin(path)
    if begin.startswith(SQLITE):
        return "sqlite"
    _reports(path, begin)
    if not begin:
        raise TraceError(
            f"{path} is empty", "Was the profiler stopped before it wrote, or the disk full? " + _KINETO
        )
    text = _unpacked(path, begin) if begin.startswith(b"\x1f\x8b") else begin
    for magic, what, command in _ARCHIVES:
        if text.startswith(magic):
            raise TraceError(f"{path} is {what}", f"Unpack it first: {command} {_quoted(path)}")
    if text[257:262] == b"ustar":
        raise TraceError(f"{path} is a tar archive", f"Unpack it first: tar xf {_quoted(path)}")
    _no_json(path, text)
    return "json"


def _begin(path: Path) -> bytes:
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise TraceError(f"{path} is a folder", "Give the files in it, one for each rank.")
        if not stat.S_ISREG(found.st_mode):
            what = "a pipe" if stat.S_ISFIFO(found.st_mode) else "no regular file"
            raise TraceError(
                f"{path} is {what}: a trace is read more than once",
                "Save what it gives to a file first: ... > trace.json",
            )
        # Whatever it has become since: a pipe without a writer would be waited for without end.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return os.pread(fd, _LOOK, 0)
        finally:
            os.close(fd)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> TraceError:
    """What is said when the system does not let a file be read."""
    why = getattr(error, "strerror", None) or str(error)
    fixes: dict[type[Exception], str] = {
        FileNotFoundError: "Check the path.",
        PermissionError: f"Who may read it: ls -l {_quoted(path)}",
    }
    return TraceError(
        f"{path} cannot be read: {why}", fixes.get(type(error), "Copy the file to a local disk.")
    )


def _reports(path: Path, begin: bytes) -> None:
    """Reports of NVIDIA's tools in their own formats."""
    name = path.name.lower()
    if name.endswith((".nsys-rep", ".qdrep")):
        target = path.with_suffix(".sqlite")
        command = f"nsys export --type sqlite --output {_quoted(target)} {_quoted(path)}"
        raise TraceError(
            f"{path} is an Nsight Systems report, in a format of its own", f"Export it: {command}"
        )
    if name.endswith(".ncu-rep") or begin.startswith(b"NVR\x00"):
        raise TraceError(
            f"{path} is an Nsight Compute report: counters of single kernels, no timeline",
            f"To look at it: ncu --import {_quoted(path)}. Timelines come from nsys profile.",
        )


def _quoted(path: Path) -> str:
    """A path as a shell's word that no command takes for an option."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def _unpacked(path: Path, begin: bytes) -> bytes:
    try:
        text = zlib.decompressobj(31).decompress(begin, _LOOK)
    except zlib.error as error:
        raise TraceError(
            f"{path}: the compression is damaged at its start ({error})", "Copy it again."
        ) from error
    if not text.strip():
        raise TraceError(f"{path} holds nothing, or is cut at its start", "Copy it again. " + _KINETO)
    return text


def _no_json(path: Path, text: bytes) -> None:
    lead = text.lstrip(b"\xef\xbb\xbf \t\r\n\x0b\x0c")
    if _MEMORY.match(lead):
        raise TraceError(
            f"{path} is torch's record of memory (export_memory_timeline or a snapshot), without kernels",
            _KINETO,
        )
    if lead[:1] in (b"{", b"["):
        return
    if lead.startswith(b"<"):
        raise TraceError(f"{path} is a web page, no trace", "Was it a download behind a login? " + _KINETO)
    if lead[:2] in (b"\xff\xfe", b"\xfe\xff"):
        fix = f"iconv -f UTF-16 -t UTF-8 {_quoted(path)} > trace.json"
        raise TraceError(f"{path} is UTF-16 text", f"Convert it: {fix}")
    if text.startswith(b"\x80") and text[1:2] in b"\x02\x03\x04\x05":
        raise TraceError(f"{path} is a pickle, perhaps a memory snapshot of torch: no timeline", _KINETO)
    if b"\x00" in text:
        raise TraceError(f"{path} is a binary file of an unknown kind", _KINETO)
    raise TraceError(f"{path} is no JSON, so no trace", _KINETO)
