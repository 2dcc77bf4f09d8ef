"""Stored probe runs: what each card of this node was seen to do, and when.

One file a device, one `ProbeReport` a line (JSON Lines), newest last. Lines are only ever appended, in one
write under a lock, so that two probes at once lose nothing; only when there are more than KEPT is the file
written anew, in one step. A line that cannot be read is skipped and said to be; it never hides another.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from advisor import locations
from probes.derive import ceilings_of, is_ceiling, usable
from probes.metrics import best
from probes.record import Measurement, ProbeReport
from probes.staleness import OLD_S, same_limit, stale

if TYPE_CHECKING:
    from advisor.telemetry.records import DeviceInfo
    from probes.ceilings import Ceilings

KEPT = 100
# A run has about fifty figures of a few hundred bytes each.
MAX_LINE_BYTES = 2 * 1024**2
# Of a longer file, which is none of ours, the end is read.
MAX_FILE_BYTES = 64 * 1024**2
# What figures depend on. The Python in use and whatever else is installed are named in a run, no more.
_DECIDING = ("driver", "cuda", "torch", "cublas", "cupy")
_SUFFIX = ".jsonl"
_LOCK_WAIT_S = 10.0


class StoreError(Exception):
    """A run could not be stored. `fix` is what to do about it."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix


class Store:
    """Probe runs by device. warnings: what could not be read so far, each once, ready to be escaped."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = locations.ceilings_dir() if folder is None else folder
        self.warnings: list[str] = []

    def add(self, report: ProbeReport) -> Path:
        """Append a run and give the file it is in. Raises StoreError, with what was there intact."""
        line = _encoded(report)
        path = self.path(report.device.key)
        try:
            self._make_folder()
            with _opened(path) as (file, is_locked):
                _append(file, line)
                if is_locked:
                    self._trim(path, file, report.device.key)
        except OSError as error:
            raise _explain(path, error) from error
        return path

    def history(self, key: str) -> tuple[ProbeReport, ...]:
        """Every stored run of a device, oldest first; none where nothing is stored or can be read."""
        return tuple(report for _, report in self._entries(key))

    def latest(self, key: str) -> ProbeReport | None:
        """What is known of a device now: see `merged`. None when no run gave a usable figure."""
        return merged(self.history(key))

    def keys(self) -> tuple[str, ...]:
        """Devices of which a run is stored, sorted."""
        found = set()
        for path in self._files():
            for raw in self._lines(path):
                report = _decoded(raw)
                if report is not None and self.path(report.device.key) == path:
                    found.add(report.device.key)
                    break
        return tuple(sorted(found))

    def path(self, key: str) -> Path:
        """The file of a device. Its name cannot leave the folder, and differs for every two keys."""
        plain = re.sub(r"[^A-Za-z0-9-]+", "_", key)[:60]
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        return self.folder / f"{plain}-{digest}{_SUFFIX}"

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if path.suffix == _SUFFIX)
        except FileNotFoundError:
            return []
        except OSError as error:
            self._warn(f"{self.folder} cannot be read: {error.strerror or error}")
            return []

    def _entries(self, key: str) -> list[tuple[bytes, ProbeReport]]:
        """Lines of a device's file that hold a run of it, and those runs, oldest first."""
        path = self.path(key)
        found, skipped = [], 0
        for raw in self._lines(path):
            report = _decoded(raw)
            if report is None or report.device.key != key:
                skipped += 1
            else:
                found.append((raw, report))
        if skipped:
            lines = "a line" if skipped == 1 else f"{skipped} lines"
            self._warn(f"{lines} of {path} cannot be read and {'is' if skipped == 1 else 'are'} skipped")
        return found

    def _lines(self, path: Path) -> Iterator[bytes]:
        """Lines that are not empty, without their end. One that is too long comes as an empty one."""
        try:
            with io.BufferedReader(io.FileIO(path, opener=_without_waiting)) as file:
                _require_plain(file)
                yield from _split(file)
        except FileNotFoundError:
            return
        except OSError as error:
            self._warn(f"{path} cannot be read: {error.strerror or error}")

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def _make_folder(self) -> None:
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)

    def _trim(self, path: Path, file: IO[bytes], key: str) -> None:
        """Keep the newest runs. A failure is no loss: the file is only longer than need be."""
        file.seek(0)
        if sum(1 for _ in _split(file)) <= KEPT:
            return
        from advisor.reports.files import write_atomic

        kept = b"".join(raw + b"\n" for raw, _ in self._entries(key)[-KEPT:])
        with suppress(OSError):
            write_atomic(path, kept)


def merged(reports: Sequence[ProbeReport]) -> ProbeReport | None:
    """Of runs of one device, oldest first, the newest usable figure of each metric, in one report.

    The newest run with any usable figure says which others fit: those with the same driver, libraries,
    method, MIG profile, power limit and ECC mode. So a run of one probe alone keeps what a full one found.
    A sustained figure is not replaced by one that was not held, nor any by a quick run's, unless it is too
    old by then to rely on. A metric without a usable figure keeps its newest take, which says why. `t_s` is
    that of the oldest run that a figure comes from: the report is no fresher than that.
    """
    newest = next((r for r in reversed(reports) if usable(r)), None)
    if newest is None:
        return None
    fitting = [r for r in reports if r.contended is None and _same_conditions(r, newest)]
    figures: dict[str, tuple[ProbeReport, Measurement]] = {}
    for report in fitting:
        for metric in dict.fromkeys(m.metric for m in report.measurements):
            _take(figures, report, metric, newest.t_s)
    return msgspec.structs.replace(
        newest,
        t_s=min(report.t_s for report, m in figures.values() if is_ceiling(m)),
        measurements=tuple(m for _, m in figures.values()),
    )


def stored_ceilings(
    info: DeviceInfo,
    driver_version: str | None,
    store: Store,
    assumed: Ceilings | None,
    *,
    now_s: float | None = None,
) -> Ceilings | None:
    """What this very card was seen to do, filled up from what is assumed of it; None when no run is stored.

    Runs of the device as it is now come first. Where there are none, `stale` is filled: the driver, the power
    limit, ECC, the method or the time (now_s: Unix time, default now) is another than then. Runs under
    another MIG profile are of another device, whose rates are no guess at this one's. Never raises for what
    is on disk: `store.warnings` says what was skipped.
    """
    is_stale = partial(
        stale,
        driver=driver_version,
        power_limit_w=info.power_limit_w,
        ecc=info.ecc_enabled,
        mig_profile=info.mig_profile,
    )
    runs = [r for r in store.history(info.key) if r.device.mig_profile == info.mig_profile]
    report = merged([r for r in runs if is_stale(r) is None]) or merged(runs)
    found = ceilings_of(report, assumed) if report else None
    if report is None or found is None or found.measured_s is None:
        return None
    return msgspec.structs.replace(
        found, stale=is_stale(report, now_s=time.time() if now_s is None else now_s)
    )


def _same_conditions(a: ProbeReport, b: ProbeReport) -> bool:
    return (
        a.method_version == b.method_version
        and all(_no_conflict(a.versions.get(name), b.versions.get(name)) for name in _DECIDING)
        and a.device.mig_profile == b.device.mig_profile
        and same_limit(a.device.power_limit_w, b.device.power_limit_w)
        and _no_conflict(a.device.ecc_enabled, b.device.ecc_enabled)
    )


def _no_conflict(a: object, b: object) -> bool:
    return a is None or b is None or a == b


def _take(
    figures: dict[str, tuple[ProbeReport, Measurement]], report: ProbeReport, metric: str, now_s: float
) -> None:
    """The newer of two figures, unless the older one counts for more."""
    m = best(m for m in report.measurements if m.metric == metric)
    old = figures.get(metric)
    if m is not None and (old is None or _rank(report, m, now_s) >= _rank(*old, now_s)):
        figures[metric] = (report, m)


def _rank(report: ProbeReport, m: Measurement, now_s: float) -> tuple[bool, bool, bool, bool]:
    """What a figure counts for: recent, usable, held until clocks had settled, looked for with patience.

    A quick run tries fewer shapes for less time, so it falls short of what the card can do.
    """
    is_recent = now_s - report.t_s <= OLD_S
    return is_recent, is_ceiling(m), m.sustained is not None, report.mode != "quick"


def _encoded(report: ProbeReport) -> bytes:
    """One line that reads back as what it was."""
    try:
        raw = msgspec.json.encode(report)
    except UnicodeEncodeError as error:
        raise StoreError("the run was not stored: a name in it is no text") from error
    if len(raw) > MAX_LINE_BYTES or _decoded(raw) is None:
        raise StoreError("the run was not stored: it holds a value that cannot be read back")
    return raw + b"\n"


def _decoded(raw: bytes) -> ProbeReport | None:
    try:
        return msgspec.json.decode(raw, type=ProbeReport)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _without_waiting(path: str, flags: int) -> int:
    """Open what may be a pipe that nobody writes to."""
    return os.open(path, flags | os.O_NONBLOCK)


def _split(file: IO[bytes]) -> Iterator[bytes]:
    size = os.fstat(file.fileno()).st_size
    if size > MAX_FILE_BYTES:
        file.seek(size - MAX_FILE_BYTES)
        file.readline()
    while line := file.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            _skip_line(file)
            yield b""
        elif line.strip():
            yield line.rstrip(b"\r\n")


def _skip_line(file: IO[bytes]) -> None:
    while rest := file.readline(MAX_LINE_BYTES):
        if rest.endswith(b"\n"):
            return


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], bool]]:
    """The file, open for appending, and whether it is locked against others of ours meanwhile.

    Where the file system has no locks, appending in one write must do.
    """
    end_s = time.monotonic() + _LOCK_WAIT_S
    while True:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        with os.fdopen(handle, "r+b", buffering=0) as file:
            _require_plain(file)
            is_locked = _lock(file, end_s)
            if _is_still(path, file):
                yield file, is_locked
                return


def _require_plain(file: IO[bytes] | io.BufferedReader) -> None:
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise OSError(errno.EINVAL, "it is not a plain file")


def _lock(file: IO[bytes], end_s: float) -> bool:
    """Wait for the lock; False where there are none."""
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end_s:
                raise OSError(errno.EBUSY, "another process holds its lock") from None
            time.sleep(0.01)
        except OSError:
            return False
        else:
            return True


def _is_still(path: Path, file: IO[bytes]) -> bool:
    """False when the file was replaced while we waited for its lock."""
    try:
        now = path.stat()
    except FileNotFoundError:
        return False
    own = os.fstat(file.fileno())
    return (now.st_dev, now.st_ino) == (own.st_dev, own.st_ino)


def _append(file: IO[bytes], line: bytes) -> None:
    """All of the line or nothing of it. What an earlier writer left unfinished gets its own line."""
    size = os.fstat(file.fileno()).st_size
    if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
        line = b"\n" + line
    try:
        if os.write(file.fileno(), line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            os.ftruncate(file.fileno(), size)
        raise


def _explain(path: Path, error: OSError) -> StoreError:
    fix = "free some space there"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EINVAL):
        fix = "make that place writable, or name another folder in ADVISOR_STATE_DIR"
    elif error.errno == errno.EBUSY:
        fix = "wait for the other probe to end"
    return StoreError(f"the run was not stored in {path}: {error.strerror or error}", fix)
