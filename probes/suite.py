"""Runs probes in a worker process and makes a report of whatever comes of it.

A probe that crashes, hangs, runs out of memory or talks nonsense costs its own figures: it becomes a record
with the reason, and a new worker goes on with the rest. Whatever happens here, no worker is left behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import msgspec

from probes import METHOD_VERSION, registry
from probes.events import ASKING, Event, ProbeDone, Progress, Refused, Result, Started
from probes.job import DEVICE_LOST, Job
from probes.lab import failure
from probes.limits import DEFAULT_LIMITS, Limits
from probes.link import LOOK_S, BadLineError, Link
from probes.outliers import outliers
from probes.record import DeviceFacts, Measurement, Plan, ProbeReport, ProbeRun
from probes.registry import Probe
from probes.sanity import judge
from probes.specs import find_spec

OnEvent = Callable[[Event], None]
_FALSE_STARTS_MAX = 2
_NO_ANSWER = "the worker does not answer"
_NO_DRIVER = "the driver does not answer"
_LOOK = "Try `nvidia-smi`; look at `dmesg | grep -i -e nvrm -e xid`."


class CancelledError(Exception):
    """The caller wants no more."""


def run_devices(
    plan: Plan,
    devices: Sequence[DeviceFacts],
    on_event: Callable[[DeviceFacts, Event], None],
    *,
    cancelled: Callable[[], bool] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    advisor_version: str | None = None,
) -> ProbeRun:
    """Probe devices one after the other, and name those that fall behind. Ends after an interrupted one.

    Raises ValueError when the plan names a probe that one of them does not have.
    """
    for facts in devices:
        registry.chosen(facts.kind, plan.names)
    reports = tuple(
        in_turn(
            plan,
            devices,
            lambda facts: partial(on_event, facts),
            cancelled=cancelled,
            limits=limits,
            advisor_version=advisor_version,
        )
    )
    return ProbeRun(reports=reports, outliers=outliers(reports))


def in_turn(
    plan: Plan,
    devices: Sequence[DeviceFacts],
    listener: Callable[[DeviceFacts], OnEvent],
    *,
    cancelled: Callable[[], bool] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    advisor_version: str | None = None,
) -> Iterator[ProbeReport]:
    """A report of each device as soon as it is measured; none after an interrupted one.

    listener: asked for each device who hears of its events.
    """
    for facts in devices:
        asked = msgspec.structs.replace(plan, device="cpu" if facts.kind == "cpu" else facts.key)
        report = run_device(
            asked, facts, listener(facts), cancelled=cancelled, limits=limits, advisor_version=advisor_version
        )
        yield report
        if report.interrupted:
            return


def run_device(
    plan: Plan,
    facts: DeviceFacts,
    on_event: OnEvent,
    *,
    cancelled: Callable[[], bool] | None = None,
    probes: Sequence[Probe] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    advisor_version: str | None = None,
) -> ProbeReport:
    """Probe one device. Ctrl-C, or `cancelled` giving True, ends it with what was measured until then.

    on_event hears of every event, also of records made here of a probe that broke. probes: what to run
    instead of what the plan names. Raises ValueError when the plan names a probe the device does not have.
    """
    todo = registry.chosen(facts.kind, plan.names) if probes is None else tuple(probes)
    run = _Run(plan, facts, todo, on_event, cancelled or _never, limits)
    try:
        run.all()
    except (KeyboardInterrupt, CancelledError):
        run.interrupted = True
    return run.report(advisor_version)


def _never() -> bool:
    return False


class _Run:
    """One device's run: what is still to do, what was measured, and the worker's story so far."""

    def __init__(
        self,
        plan: Plan,
        facts: DeviceFacts,
        todo: tuple[Probe, ...],
        on_event: OnEvent,
        cancelled: Callable[[], bool],
        limits: Limits,
    ) -> None:
        self._plan, self._facts, self._on_event = plan, facts, on_event
        self._cancelled, self._limits = cancelled, limits
        self._t_s, self._begin_s = time.time(), time.monotonic()
        self._whole_s = limits.whole_s(todo, plan)
        self._measuring_s = limits.measuring_s(todo, plan)
        self._todo = list(todo)
        self._measurements: list[Measurement] = []
        self._versions: dict[str, str] = {}
        self._contended: str | None = None
        self._opened = False
        self._refused: str | None = None
        self._false_starts = self._restarts = 0
        self._attempt = _Attempt()
        self.interrupted = False

    def all(self) -> None:
        """Until nothing is to be done, or nothing more can be."""
        if why := self._facts.missing.get("device"):
            self._give_up(why)
        while self._todo:
            self._one_worker()

    def report(self, advisor_version: str | None) -> ProbeReport:
        """What came of it, judged as a whole."""
        facts = self._facts
        spec = find_spec(facts.name, facts.memory_total_bytes, facts.compute_capability, facts.power_limit_w)
        return ProbeReport(
            device=facts,
            mode=self._plan.mode,
            t_s=self._t_s,
            wall_s=time.monotonic() - self._begin_s,
            method_version=METHOD_VERSION,
            advisor_version=advisor_version,
            versions=self._versions,
            contended=self._contended,
            interrupted=self.interrupted,
            refused=self._refused,
            measurements=judge(self._measurements, facts, spec),
        )

    def _one_worker(self) -> None:
        self._attempt = attempt = _Attempt()
        try:
            link = Link(self._job())
        except OSError as error:
            self._give_up(f"the worker cannot be started: {error}")
            return
        try:
            attempt.fault = self._listen(link)
        finally:
            link.close()
            if attempt.opened_s is not None:
                self._measuring_s -= time.monotonic() - attempt.opened_s
        if self._todo:
            self._after(attempt, link)

    def _job(self) -> Job:
        return Job(
            plan=self._plan,
            facts=self._facts,
            probes=tuple(self._todo),
            events_fd=-1,
            parent_pid=-1,
            resumed=self._opened,
            contended=self._contended,
            time_left_s=self._measuring_s,
        )

    def _listen(self, link: Link) -> str | None:
        """Take events until it ends by itself (None), or there is a reason to end it."""
        decoder = msgspec.json.Decoder(Event)
        try:
            while True:
                over = link.ended()
                lines = link.rest() if over else link.lines(LOOK_S)
                for line in lines:
                    self._take(decoder.decode(line))
                if self._cancelled():
                    raise CancelledError
                if over:
                    return None
                if fault := self._overdue():
                    return fault
        except (BadLineError, msgspec.MsgspecError, UnicodeError) as error:
            return f"the worker sent what is no event: {error}"

    def _overdue(self) -> str | None:
        """Why the worker has had time enough, if it has."""
        attempt, now_s = self._attempt, time.monotonic()
        if now_s - self._begin_s > self._whole_s:
            attempt.whole_over = True
            return f"the whole run took longer than {self._whole_s:.0f} s"
        at_it_s = now_s - attempt.since_s
        if not self._todo:
            return "the worker does not end" if at_it_s > self._limits.end_s else None
        if attempt.probe is None:
            return self._unopened(at_it_s)
        limit_s = self._limits.probe_s(attempt.probe, self._plan)
        doing = f" at {attempt.doing!r}" if attempt.doing else ""
        return f"hung{doing}: no end after {limit_s:.0f} s" if at_it_s > limit_s else None

    def _unopened(self, at_it_s: float) -> str | None:
        if self._attempt.doing == ASKING and at_it_s > self._limits.driver_s:
            return _NO_DRIVER
        return _NO_ANSWER if at_it_s > self._limits.start_s else None

    def _take(self, event: Event) -> None:
        attempt = self._attempt
        if isinstance(event, Started):
            attempt.started = self._opened = True
            attempt.since_s = attempt.opened_s = time.monotonic()
            self._facts, self._contended = event.facts, event.contended
            self._versions = event.versions
        elif isinstance(event, Refused):
            attempt.refused = event
        elif isinstance(event, Progress):
            self._progress(event)
        elif isinstance(event, Result):
            self._measurements.append(event.measurement)
        elif isinstance(event, ProbeDone):
            self._todo = [probe for probe in self._todo if probe.name != event.probe]
            attempt.probe, attempt.since_s = None, time.monotonic()
        self._on_event(event)

    def _progress(self, event: Progress) -> None:
        attempt = self._attempt
        attempt.doing = event.text
        if attempt.probe is None or attempt.probe.name != event.probe:
            attempt.probe = next((p for p in self._todo if p.name == event.probe), None)
            attempt.since_s = time.monotonic()

    def _after(self, attempt: _Attempt, link: Link) -> None:
        """It ended and something is left to do: find out what that means."""
        fault = attempt.fault or link.why()
        if attempt.refused is not None:
            self._give_up(f"{attempt.refused.reason}. {attempt.refused.fix}".strip())
        elif attempt.whole_over:
            self._fail_all(fault)
        elif not attempt.started:
            self._false_start(attempt, fault)
        elif attempt.probe is not None:
            self._fail(attempt.probe, fault)
            self._again(fault)
        else:
            self._again("the device was lost to the worker" if link.code == DEVICE_LOST else fault)

    def _false_start(self, attempt: _Attempt, fault: str) -> None:
        self._false_starts += 1
        if attempt.fault == _NO_DRIVER:
            limit_s = self._limits.driver_s
            self._give_up(f"the driver did not say within {limit_s:.0f} s who uses the device. {_LOOK}")
        elif attempt.fault == _NO_ANSWER:
            self._give_up(
                f"the device did not open within {self._limits.start_s:.0f} s: the driver hangs, or torch "
                f"takes too long to import. {_LOOK}"
            )
        elif self._false_starts >= _FALSE_STARTS_MAX:
            self._give_up(f"the worker does not start: {fault}")

    def _again(self, fault: str) -> None:
        self._restarts += 1
        if self._restarts > self._limits.restarts:
            self._fail_all(f"not run: the worker broke down {self._restarts} times, the last: {fault}")

    def _give_up(self, why: str) -> None:
        """Nothing more can be measured. Only where nothing was opened before is that a refusal."""
        if self._opened:
            self._fail_all(f"not run: {why}")
        else:
            self._refused = why
            self._todo = []

    def _fail_all(self, why: str) -> None:
        for probe in tuple(self._todo):
            self._fail(probe, why)

    def _fail(self, probe: Probe, why: str) -> None:
        label = "measured" if self._contended is None else "contended"
        record = msgspec.structs.replace(failure(probe.name, why), label=label)
        self._todo = [p for p in self._todo if p.name != probe.name]
        self._measurements.append(record)
        self._on_event(Result(measurement=record))


class _Attempt:
    """One worker's life. opened_s: when its device was open; since_s: start of what it is at now. fault: why
    it was ended, None if by itself."""

    def __init__(self) -> None:
        self.started = False
        self.probe: Probe | None = None
        self.doing = ""
        self.since_s = time.monotonic()
        self.opened_s: float | None = None
        self.refused: Refused | None = None
        self.whole_over = False
        self.fault: str | None = None
