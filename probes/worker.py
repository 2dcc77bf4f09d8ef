"""The probe worker: `python -m probes.worker` reads a job on stdin, measures, and tells by events.

Events go to a pipe of their own, one JSON object a line, since libraries print where they like. A crash, a
hang or a lost device ends this process only; `probes.suite` watches it from outside.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence

import msgspec

from probes.busy import Use, look
from probes.cuda_start import CannotStartError, library_versions, open_cuda, prepare_cupy
from probes.events import ASKING, OPENING, Event, ProbeDone, Progress, Refused, Result, Started
from probes.hostload import HostLoad
from probes.job import DEVICE_LOST, PARENT_GONE, Job
from probes.lab import Lab, UnsupportedError, device_lost, failure, first_line
from probes.meter import Meter, NoMeter
from probes.record import DeviceFacts, Measurement
from probes.registry import Probe
from probes.specs import find_spec
from probes.timing import CpuTimer, CudaTimer

_PR_SET_PDEATHSIG = 1
_TEXT_MAX = 200
_WAIT = "Wait until it is free, or measure anyway with --force; such figures never count as ceilings."


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """An open device: what is known of it, and why figures do not count, if they do not."""

    facts: DeviceFacts
    versions: dict[str, str]
    contended: str | None = None


def main() -> int:
    """Run the job on stdin."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    _die_with(job.parent_pid)
    os.set_inheritable(job.events_fd, False)
    out = Speaker(job.events_fd)
    try:
        ready = _open(job, out)
    except CannotStartError as error:
        out.say(Refused(reason=str(error), fix=error.fix))
        return 0
    out.say(Started(facts=ready.facts, versions=ready.versions, contended=ready.contended))
    return _measure(job, ready, out)


class Speaker:
    """Writes events. Ends the process when nobody listens any more."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def say(self, event: Event) -> None:
        """One event, whole."""
        rest = memoryview(msgspec.json.encode(event) + b"\n")
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except OSError:
                os._exit(PARENT_GONE)

    def progress(self, probe: str, text: str, frac: float) -> None:
        """How far a probe is; the first word of each names the one that now runs."""
        self.say(Progress(probe=probe, text=_unicode(text)[:_TEXT_MAX], frac=min(1.0, max(0.0, frac))))

    def result(self, measurement: Measurement) -> None:
        """One record; what cannot be written as such becomes one that says so."""
        self.say(Result(measurement=_writable(measurement)))


def _unicode(text: str) -> str:
    """Text without lone surrogates, which JSON cannot carry."""
    return text.encode(errors="replace").decode()


def _writable(m: Measurement) -> Measurement:
    """JSON has no NaN and no infinity, and takes text only that is valid Unicode."""
    figures = (m.median, m.p10, m.p90, m.cv, m.of_spec, m.of_clock, m.burst, m.sustained)
    if not all(math.isfinite(v) for v in figures if v is not None):
        return failure(m.metric, "the figure is not a finite number")
    try:
        msgspec.json.decode(msgspec.json.encode(m), type=Measurement)
    except (msgspec.MsgspecError, UnicodeError, TypeError) as error:
        return failure(m.metric, f"the record cannot be written: {first_line(error)}")
    return m


def _die_with(parent_pid: int) -> None:
    """Be killed when the parent ends, also when it already has."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:
            os._exit(PARENT_GONE)


def _open(job: Job, out: Speaker) -> Ready:
    """Open the device. Raises CannotStartError."""
    if job.facts.kind == "cpu":
        return Ready(facts=job.facts, versions=library_versions())
    # A UUID names one GPU or MIG instance whatever order CUDA counts in; read when CUDA starts.
    os.environ["CUDA_VISIBLE_DEVICES"] = job.facts.key
    prepare_cupy(os.environ)
    out.progress("", ASKING, 0.0)
    driver, use = _look(job)
    out.progress("", OPENING, 0.0)
    told = msgspec.structs.replace(job.facts, missing={**job.facts.missing, **use.missing})
    facts, cuda = open_cuda(told, driver.get("cuda_driver"))
    known = {name: version for name, version in driver.items() if name == "driver"}
    return Ready(facts=facts, versions={**library_versions(), **known, **cuda}, contended=use.busy)


def _look(job: Job) -> tuple[dict[str, str], Use]:
    """The driver's versions, and who else uses the device. Raises CannotStartError unless it is free."""
    from probes.nvml import CannotProbeError, Nvml, list_devices

    try:
        nvml = Nvml()
        device = list_devices(nvml).find(job.facts.key)
    except CannotProbeError as error:
        raise CannotStartError(str(error), error.fix) from error
    except ImportError as error:
        why = f"pynvml cannot be imported: {first_line(error)}"
        raise CannotStartError(why, "Install nvidia-ml-py.") from error
    use = Use(busy=job.contended) if job.resumed else look(nvml, device)
    versions = nvml.versions()
    nvml.close()
    if use.busy is not None and not job.plan.force:
        raise CannotStartError(f"the device is busy: {use.busy}", _WAIT)
    return versions, Use(busy=use.busy, missing={f"busy.{what}": why for what, why in use.missing.items()})


def _measure(job: Job, ready: Ready, out: Speaker) -> int:
    lab = _lab(job, ready)
    end_s = time.monotonic() + job.time_left_s
    try:
        for at, probe in enumerate(job.probes):
            out.progress(probe.name, "", 0.0)
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                _leave_out(probe, ready, out)
            elif not _run(probe, lab, ready, out, left_s * _share(job.probes[at:])):
                return DEVICE_LOST
    finally:
        lab.meter.close()
    return 0


def _share(probes: Sequence[Probe]) -> float:
    """The first one's share of what all of these are to take: a run that is late shortens each alike."""
    return probes[0].budget_s / max(sum(probe.budget_s for probe in probes), 1e-9)


def _leave_out(probe: Probe, ready: Ready, out: Speaker) -> None:
    out.result(_labelled(failure(probe.name, "no time left: what ran before took too long"), ready))
    out.say(ProbeDone(probe=probe.name, wall_s=0.0))


def _lab(job: Job, ready: Ready) -> Lab:
    facts = ready.facts
    spec = find_spec(facts.name, facts.memory_total_bytes, facts.compute_capability, facts.power_limit_w)
    lab = Lab(facts, job.plan, timer=CpuTimer(), meter=_meter(facts), spec=spec)
    if facts.kind == "cuda":
        lab.timer = CudaTimer(lab.torch)
    lab.versions = ready.versions
    return lab


def _meter(facts: DeviceFacts) -> Meter:
    if facts.kind == "cpu":
        return NoMeter("the host's CPU has no meter")
    from probes.nvml_meter import open_meter

    return open_meter(facts)


def _run(probe: Probe, lab: Lab, ready: Ready, out: Speaker, most_s: float) -> bool:
    """One probe in its budget, or `most_s` if that is less; False when the device is lost to this process."""
    lab.say = lambda text, frac: out.progress(probe.name, text, frac)
    begin = time.monotonic()
    lost = False
    load = HostLoad() if lab.facts.kind == "cpu" else None
    try:
        for measurement in _started(probe, lab, most_s):
            out.result(beside(load, _labelled(measurement, ready)))
    except UnsupportedError as error:
        out.result(_labelled(failure(probe.name, f"unsupported: {error}", unsupported=True), ready))
    except Exception as error:
        lost = device_lost(error)
        out.result(_labelled(failure(probe.name, _why(error, lost=lost)), ready))
    out.say(ProbeDone(probe=probe.name, wall_s=time.monotonic() - begin))
    if not lost:
        _tidy(lab)
    return not lost


def beside(load: HostLoad | None, m: Measurement) -> Measurement:
    """The record, contended where others kept the host's cores busy while it was taken."""
    why = load.contended() if load is not None else None
    if why is None or m.median is None:
        return m
    reason = f"{m.reason}; {why}" if m.reason else why
    return msgspec.structs.replace(m, label="contended", reason=reason)


def _started(probe: Probe, lab: Lab, most_s: float) -> Iterator[Measurement]:
    run = probe.load()
    if lab.plan.mode == "quick" and probe.quick_s is not None:
        most_s = min(most_s, probe.quick_s)
    lab.begin(probe.budget_s, most_s)
    return run(lab)


def _why(error: Exception, *, lost: bool) -> str:
    if isinstance(error, MemoryError):
        return _unicode(f"out of host memory (MemoryError: {first_line(error)})")
    said = _unicode(f"{type(error).__name__}: {first_line(error)}")
    return f"the device was lost to the worker: {said}" if lost else said


def _labelled(m: Measurement, ready: Ready) -> Measurement:
    return m if ready.contended is None else msgspec.structs.replace(m, label="contended")


def _tidy(lab: Lab) -> None:
    """Give memory back, so that the next probe finds the device as this one did."""
    gc.collect()
    if lab.facts.kind == "cuda":
        with contextlib.suppress(Exception):
            lab.torch.cuda.empty_cache()


if __name__ == "__main__":
    sys.exit(main())
