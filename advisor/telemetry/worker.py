"""The sampler process: `python -m advisor.telemetry.worker`. One thread makes every NVML call.

Writes the stream (Hello, Frames, End) to stdout, a JSON message a line, and exits when its stdin closes. A
hung driver hangs only this process; `advisor.telemetry.sampler` watches it from outside.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from advisor import __version__
from advisor.telemetry.nvml import NvmlReader
from advisor.telemetry.nvml_api import Nvml, NvmlError
from advisor.telemetry.nvml_init import (
    NO_DEVICES,
    CannotMeasureError,
    cannot_measure,
    driver_versions,
    is_simulated,
    pynvml_version,
    start_nvml,
)
from advisor.telemetry.nvml_processes import GpuProcesses
from advisor.telemetry.phase import DRIVER_STUCK_S, Phase, PhaseWriter, WatchedNvml
from advisor.telemetry.procfs import parse_cpu_list
from advisor.telemetry.records import (
    DeviceInfo,
    End,
    Frame,
    Hello,
    HostInfo,
    HostSample,
    Message,
    ProcessSample,
)

if TYPE_CHECKING:
    from advisor.telemetry.host import HostReader
    from advisor.telemetry.processes import GpuProcess, ProcessReader

INTERVAL_MIN_S = 0.1
# Windows under 100 ms are invalid; waking up is not exact to the millisecond.
GPM_INTERVAL_MIN_S = 0.105
SLOW_TIER_S = 5.0
RESCAN_S = 15.0
_PR_SET_PDEATHSIG = 1


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to sample. gpm_interval_s: None leaves GPM out. processes_s: time between looks at processes."""

    interval_s: float = 1.0
    gpm_interval_s: float | None = 0.2
    processes_s: float = 5.0


class Host:
    """The host's part of a frame. Whatever fails here is said in the record and stops nothing else."""

    def __init__(self, *, simulated: bool = False) -> None:
        self._simulated = simulated
        self._host: HostReader | None = None
        self._processes: ProcessReader | None = None
        self._problem = ""
        try:
            self._open()
        except Exception as error:  # psutil or /proc may fail in ways of their own
            self._problem = _said(error)

    def _open(self) -> None:
        from advisor.telemetry.host import HostReader
        from advisor.telemetry.processes import ProcessReader

        self._host = HostReader()
        self._processes = ProcessReader(confirm_pids=not self._simulated)

    def info(self) -> HostInfo:
        """Static facts of the node."""
        try:
            return (
                self._host.info() if self._host else HostInfo(host="unknown", missing={"host": self._problem})
            )
        except Exception as error:
            return HostInfo(host="unknown", missing={"host": _said(error)})

    def sample(self, t_s: float) -> HostSample:
        """The node now."""
        try:
            return self._host.sample() if self._host else HostSample(t_s=t_s, missing={"host": self._problem})
        except Exception as error:
            return HostSample(t_s=t_s, missing={"host": _said(error)})

    def look(
        self, entries: Sequence[GpuProcess], numa_cpus: dict[str, frozenset[int]]
    ) -> tuple[ProcessSample, ...]:
        """The GPU processes now; what the driver said of them where /proc cannot be read."""
        try:
            if self._processes is not None:
                return self._processes.look(entries, numa_cpus)
            problem = self._problem
        except Exception as error:
            problem = _said(error)
        return tuple(_bare(entry, problem) for entry in entries)


def _said(error: Exception) -> str:
    return f"reading failed: {type(error).__name__}: {error}"[:300]


def _bare(entry: GpuProcess, problem: str) -> ProcessSample:
    return ProcessSample(
        key=entry.key,
        pid=entry.pid,
        name=entry.driver_name or f"pid {entry.pid}",
        mem_used_bytes=entry.mem_used_bytes,
        sm_frac=entry.sm_frac,
        missing={"process": problem},
    )


class Sampling:
    """Takes frames from one NVML and the host. `wait` sleeps and returns False when it is time to stop."""

    def __init__(
        self,
        nvml: Nvml,
        host: Host,
        options: Options,
        send: Callable[[Message], None],
        wait: Callable[[float], bool],
        phase: PhaseWriter,
    ) -> None:
        self._nvml = nvml
        self._watched = WatchedNvml(nvml, phase)
        self._phase = phase
        self._host = host
        self._options = options
        self._send = send
        self._wait = wait
        self._slow_every = max(1, round(SLOW_TIER_S / options.interval_s))
        self._cost_s = 0.0
        self._seq = 0
        self._looked_s: float | None = None
        self._looks = 0
        self._reader = NvmlReader(self._watched, gpm_interval_s=options.gpm_interval_s)
        self._listed_anew: tuple[DeviceInfo, ...] | None = None
        self._take_list()

    def hello(self) -> Hello:
        """The header of the stream. Raises CannotMeasureError when there is no device."""
        if not self._reader.devices:
            raise NO_DEVICES
        driver, cuda = driver_versions(self._nvml)
        synthetic = is_simulated(self._nvml)
        return Hello(
            t_s=_now(),
            advisor_version=__version__,
            driver_version=driver,
            cuda_version=cuda,
            pynvml_version=pynvml_version(),
            interval_s=self._options.interval_s,
            gpm_interval_s=self._options.gpm_interval_s or self._options.interval_s,
            host=self._host.info(),
            devices=self._reader.devices,
            synthetic=synthetic,
            note="simulated NVML library" if synthetic else "",
        )

    def run(self) -> None:
        """Send the header, then a frame a tick until `wait` says to stop."""
        hello = self.hello()
        self._phase.set(Phase.SENDING)
        self._send(hello)
        start = time.monotonic()
        next_tick, next_sweep, next_scan = start, start, start + RESCAN_S
        sweep_s = self._options.gpm_interval_s
        going = True
        while going:
            now = time.monotonic()
            if sweep_s is not None and now >= next_sweep:
                self._timed(self._sweep)
                next_sweep = _next(next_sweep, sweep_s)
                if time.monotonic() - now >= DRIVER_STUCK_S:
                    next_tick = now  # it was said to be silent: a frame takes that back
            if now >= next_tick:
                self._frame()
                next_tick = _next(next_tick, self._options.interval_s)
            if now >= next_scan:
                self._timed(self._scan)
                next_scan = now + RESCAN_S
            due = next_tick if sweep_s is None else min(next_tick, next_sweep)
            wait_s = due - time.monotonic()
            self._phase.set(Phase.WAITING, wait_s)
            going = self._wait(wait_s)

    def close(self) -> None:
        """Free what the driver lent."""
        self._reader.close()

    def _timed(self, work: Callable[[], None]) -> None:
        before = time.perf_counter()
        work()
        self._cost_s += time.perf_counter() - before

    def _sweep(self) -> None:
        self._phase.set(Phase.GPM)
        self._reader.sweep(_now())

    def _scan(self) -> None:
        self._phase.set(Phase.DEVICES)
        devices = self._reader.rescan()
        if devices is not None:
            self._listed_anew = devices
            self._take_list()

    def _take_list(self) -> None:
        self._gpu_processes = GpuProcesses(self._watched, self._reader.listed)
        self._numa_cpus = {
            info.key: parse_cpu_list(info.cpu_affinity) for info in self._reader.devices if info.cpu_affinity
        }

    def _frame(self) -> None:
        before = time.perf_counter()
        t_s = _now()
        self._phase.set(Phase.DEVICES)
        samples = self._reader.samples(t_s, slow=self._seq % self._slow_every == 0)
        processes = self._look()
        self._phase.set(Phase.HOST)
        host = self._host.sample(t_s)
        cost_s, self._cost_s = self._cost_s + time.perf_counter() - before, 0.0
        frame = Frame(
            seq=self._seq,
            t_s=t_s,
            samples=samples,
            processes=processes,
            host=host,
            cost_s=round(cost_s, 6),
            devices=self._listed_anew,
        )
        self._phase.set(Phase.SENDING)
        self._send(frame)
        self._seq += 1
        self._listed_anew = None

    def _look(self) -> tuple[ProcessSample, ...] | None:
        """Processes at the first tick, at the second (rates need two looks), then at their own interval."""
        now = time.monotonic()
        due = (
            self._looks < 2
            or self._looked_s is None
            or now - self._looked_s >= self._options.processes_s - 0.05
        )
        if not due:
            return None
        self._looks += 1
        self._looked_s = now
        self._phase.set(Phase.GPU_PROCESSES)
        entries = self._gpu_processes.look()
        self._phase.set(Phase.PROCESSES)
        return self._host.look(entries, self._numa_cpus)


def _now() -> float:
    return round(time.time(), 3)


def _next(due: float, interval_s: float) -> float:
    """The next tick on the grid; ticks that were missed are not made up for."""
    now = time.monotonic()
    return due + interval_s * max(1, int((now - due) / interval_s) + 1)


def _claim_stdout() -> int:
    """Keep the real stdout for the stream alone: whatever a library prints goes to stderr."""
    stream = os.dup(1)
    os.dup2(2, 1)
    return stream


def _sender(stream: int) -> Callable[[Message], None]:
    encoder = msgspec.json.Encoder()

    def send(message: Message) -> None:
        line = memoryview(encoder.encode(message) + b"\n")
        while line:
            line = line[os.write(stream, line) :]

    return send


def _wait_for_stdin(timeout_s: float) -> bool:
    """Sleep, but stop when the parent closes our stdin."""
    readable, _, _ = select.select([0], [], [], max(0.0, timeout_s))
    return not (readable and not os.read(0, 4096))


def _die_with_parent() -> None:
    """SIGKILL when the parent's thread that started us ends: stdin cannot be watched during a hung call."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _options(argv: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(prog="python -m advisor.telemetry.worker", description=__doc__)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between frames")
    parser.add_argument("--gpm-interval", type=float, default=0.2, help="seconds of a GPM sub-window")
    parser.add_argument("--no-gpm", action="store_true", help="leave GPM out")
    parser.add_argument("--processes", type=float, default=5.0, help="seconds between looks at processes")
    given = parser.parse_args(argv)
    return Options(
        interval_s=max(given.interval, INTERVAL_MIN_S),
        gpm_interval_s=None if given.no_gpm else max(given.gpm_interval, GPM_INTERVAL_MIN_S),
        processes_s=given.processes,
    )


def stream(options: Options, send: Callable[[Message], None], wait: Callable[[float], bool]) -> int:
    """Send a whole stream; the exit code. 3: nothing can be measured here."""
    try:
        nvml = start_nvml()
        host = Host(simulated=is_simulated(nvml))
        sampling = Sampling(nvml, host, options, send, wait, PhaseWriter(os.environ))
        sampling.run()
    except NvmlError as error:
        return _refuse(cannot_measure(error.code), send)
    except CannotMeasureError as error:
        return _refuse(error, send)
    sampling.close()
    return 0


def _refuse(error: CannotMeasureError, send: Callable[[Message], None]) -> int:
    send(End(t_s=_now(), reason=str(error), error=True, fix=error.fix))
    return 3


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the process."""
    options = _options(sys.argv[1:] if argv is None else argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    send = _sender(_claim_stdout())
    try:
        return stream(options, send, _wait_for_stdin)
    except BrokenPipeError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
