"""`advisor probe` at work: devices in turn, progress on stderr, runs stored, pages on stdout."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import msgspec

from advisor import __version__
from advisor.cli import diagnostics, output
from advisor.cli.delivery import Delivery, hand_over
from advisor.cli.diagnostics import CliError, ExitCode, cannot_measure, note, warn
from advisor.cli.durations import format_duration
from advisor.cli.inputs import load_config, tell
from advisor.reports import probes as pages
from advisor.reports.escape import markup_as_ascii
from advisor.store import Store, StoreError
from probes.events import Event, ProbeDone, Progress
from probes.outliers import outliers
from probes.record import DeviceFacts, Kind, Mode, Plan, ProbeReport, ProbeRun
from probes.registry import PROBES, chosen

if TYPE_CHECKING:
    from advisor.reports.common import Style

# A driver that says nothing for this long does not answer.
LOOK_S = 20.0
MAX_SUSTAINED_S = 3600.0
BAR_WIDTH = 20

Before = dict[str, dict[str, pages.Earlier]]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    names: tuple[str, ...] = ()
    device: str = ""
    quick: bool = False
    full: bool = False
    sustained_s: float | None = None
    seed: int = 0
    force: bool = False
    store: bool = True
    delivery: Delivery = Delivery()


def measure(wanted: Wanted) -> ExitCode:
    """Measure every device that is asked for, one after the other; store and print what was found.

    Raises CliError: 2 for what was asked wrongly, 3 where nothing can be measured, 130 when it was
    interrupted before anything was.
    """
    plan = _plan(wanted)
    devices = _devices(wanted.device)
    store = Store()
    reports: list[ProbeReport] = []
    before: Before = {}
    with _until_ctrl_c() as cancelled:
        for report in _measured(plan, devices, wanted, cancelled):
            before[report.device.key] = pages.earlier(store.history(report.device.key))
            _keep(store, report, wanted)
            reports.append(report)
    tell(store.warnings)
    try:
        return _told(reports, before, wanted)
    finally:
        _remember(store, reports, wanted)


def show_history(wanted: Wanted) -> ExitCode:
    """Print stored runs and how figures moved. Raises CliError (2) where none is stored."""
    store = Store()
    histories = [history for key in _stored_keys(wanted.device, store) if (history := store.history(key))]
    tell(store.warnings)
    if not histories:
        what = f" of {wanted.device!r}" if wanted.device else ""
        fix = f"measure first: advisor probe{' --device ' if wanted.device else ''}{wanted.device}"
        raise CliError(f"no probe run{what} is stored in {store.folder}", fix)
    run = ProbeRun(reports=tuple(report for history in histories for report in history))
    now_s = time.time()

    def made(clean: ProbeRun, style: Style) -> list[pages.Page]:
        return [pages.history_page(history, style, now_s) for history in _by_device(clean)]

    _deliver(run, wanted, made)
    return ExitCode.OK


def list_probes(wanted: Wanted) -> ExitCode:
    """Print the probes there are, of both kinds of device."""
    if wanted.delivery.shape == "json":
        output.write_record({"schema_version": 1, "probes": PROBES})
        return ExitCode.OK
    lines = [
        f"{p.name:<11}{'cpu' if p.kind == 'cpu' else 'gpu':<5}{p.budget_s:>3.0f} s  {p.title}\n"
        for p in PROBES
    ]
    output.write("".join(lines))
    return ExitCode.OK


class Narrator:
    """Progress on stderr: a bar on a terminal, else a line a probe; nothing beside JSON in a pipe."""

    def __init__(self, wanted: Wanted, facts: DeviceFacts, plan: Plan) -> None:
        self._lines = not diagnostics.is_terminal() and wanted.delivery.shape != "json"
        self._bar = diagnostics.Progress()
        self._done: set[str] = set()
        self._budgets = {p.name: p.budget_s for p in chosen(facts.kind, plan.names)}
        self._name = pages.place(facts, _raw())
        self._begin_s = time.monotonic()

    def __call__(self, event: Event) -> None:
        """What the worker says."""
        if isinstance(event, Progress):
            self._draw(event)
        elif isinstance(event, ProbeDone):
            self._done.add(event.probe)
            if self._lines:
                note(f"{self._name} {event.probe}: {format_duration(max(event.wall_s, 0.001))}")

    def end(self) -> None:
        """Remove the bar."""
        self._bar.clear()

    def _draw(self, event: Progress) -> None:
        within = min(1.0, max(0.0, event.frac)) * self._budgets.get(event.probe, 0.0)
        done = sum(s for name, s in self._budgets.items() if name in self._done)
        whole = sum(self._budgets.values())
        frac = min(1.0, (done + within) / whole) if whole else 0.0
        took = format_duration(max(1.0, time.monotonic() - self._begin_s))
        text = f"{self._name} {_bar(frac)} {frac * 100:3.0f} % {took}  {event.probe}: {event.text}"
        self._bar.show(text[: shutil.get_terminal_size().columns - 1])


def _bar(frac: float) -> str:
    full = round(frac * BAR_WIDTH)
    on, off = ("█", "░") if diagnostics.unicode() else ("#", ".")
    return on * full + off * (BAR_WIDTH - full)


def _plan(wanted: Wanted) -> Plan:
    if wanted.quick and wanted.full:
        raise CliError("--quick and --full contradict each other", "give one of them")
    if wanted.sustained_s is not None and wanted.sustained_s > MAX_SUSTAINED_S:
        raise CliError("--sustained is longer than an hour", "give 1h or less")
    mode: Mode = "quick" if wanted.quick else "full" if wanted.full else "default"
    try:
        for kind in _kinds(wanted.device):
            chosen(kind, wanted.names)
    except ValueError as error:
        raise CliError(str(error), "advisor probe --list") from error
    return Plan(
        names=wanted.names,
        device=wanted.device,
        mode=mode,
        sustained_s=wanted.sustained_s,
        force=wanted.force,
        seed=wanted.seed,
    )


def _kinds(device: str) -> set[Kind]:
    """Kinds of the devices that are named, before anybody has looked for them."""
    return {"cpu" if name.strip().lower() == "cpu" else "cuda" for name in device.split(",")}


def _devices(wanted: str) -> list[DeviceFacts]:
    from probes.devices import NoDeviceError, list_devices

    try:
        return list_devices(wanted, os.environ, LOOK_S)
    except NoDeviceError as error:
        raise cannot_measure(str(error), error.fix) from error


def _measured(
    plan: Plan, devices: Sequence[DeviceFacts], wanted: Wanted, cancelled: threading.Event
) -> Iterator[ProbeReport]:
    """Reports as they come; nothing is left of the bar when one does, nor when there is none."""
    from probes import suite

    narrators: list[Narrator] = []

    def listener(facts: DeviceFacts) -> Narrator:
        narrators.append(Narrator(wanted, facts, plan))
        return narrators[-1]

    reports = suite.in_turn(plan, devices, listener, cancelled=cancelled.is_set, advisor_version=__version__)
    try:
        for report in reports:
            narrators.pop().end()
            yield report
    finally:
        for narrator in narrators:
            narrator.end()


def has_figures(report: ProbeReport) -> bool:
    """Whether anything was measured at all."""
    return any(m.value is not None for m in report.measurements)


def _keep(store: Store, report: ProbeReport, wanted: Wanted) -> None:
    if not wanted.store or not has_figures(report):
        return
    try:
        path = store.add(report)
        if wanted.delivery.shape != "json":
            note(f"stored in {path}")
    except StoreError as error:
        warn(f"{error}; {error.fix}" if error.fix else str(error))


def _remember(store: Store, reports: Sequence[ProbeReport], wanted: Wanted) -> None:
    """Into the history what was stored, and what the history does not have yet of those devices."""
    from advisor.keeping.recorder import keep_runs

    if wanted.store:
        keep_runs(
            store, [report.device.key for report in reports if has_figures(report)], load_config(), warn
        )


def _told(reports: Sequence[ProbeReport], before: Before, wanted: Wanted) -> ExitCode:
    """Print, and say on stderr what a reader of stdout alone would miss."""
    measured = [report for report in reports if has_figures(report)]
    if not measured and wanted.delivery.shape == "text" and wanted.delivery.path is None:
        raise _nothing(reports)
    run = ProbeRun(reports=tuple(reports), outliers=outliers(measured))
    _deliver(run, wanted, lambda clean, style: _pages(clean, before, style))
    if not measured:
        raise _nothing(reports)
    for report in reports:
        if report.refused is not None:
            warn(f"{pages.device_title(report, _raw())} was not measured: {report.refused}")
    if any(report.interrupted for report in reports):
        note("interrupted: this is what was measured so far")
        return ExitCode.INTERRUPTED
    return ExitCode.OK


def _nothing(reports: Sequence[ProbeReport]) -> CliError:
    if any(report.interrupted for report in reports):
        return CliError("interrupted before anything was measured", code=ExitCode.INTERRUPTED)
    said = ["nothing could be measured:"]
    for report in reports:
        first = next((m.reason for m in report.measurements if m.reason), None)
        why = report.refused or first or "no probe gave a figure"
        said.append(f"{pages.device_title(report, _raw())}: {why}")
    return cannot_measure("\n".join(said))


def _raw() -> Style:
    """Texts for stderr, which escapes them itself."""
    from advisor.reports.probe_pages import TERMINAL

    return TERMINAL


def _pages(run: ProbeRun, before: Before, style: Style) -> list[pages.Page]:
    return [pages.run_page(report, before.get(report.device.key, {}), style) for report in run.reports]


def _by_device(run: ProbeRun) -> list[list[ProbeReport]]:
    found: dict[str, list[ProbeReport]] = {}
    for report in run.reports:
        found.setdefault(report.device.key, []).append(report)
    return list(found.values())


def _stored_keys(device: str, store: Store) -> tuple[str, ...]:
    """An index needs the driver; what is stored is found without it."""
    stored = store.keys()
    if device in ("", "all"):
        return stored
    if device in stored:
        return (device,)
    return tuple(facts.key for facts in _devices(device))


def _deliver(run: ProbeRun, wanted: Wanted, made: Callable[[ProbeRun, Style], list[pages.Page]]) -> None:
    """Clean (unless --no-redact or the configuration says not to), draw and write."""
    from advisor.reports import probe_json, probe_pages

    form = wanted.delivery
    clean = probe_json.cleaned(run, keep=form.keep or not load_config().redact)

    def draw(width: int, color: bool, unicode: bool) -> str:
        if form.shape == "json":
            return probe_json.encode(clean, unicode=unicode)
        if form.shape == "md":
            markup = probe_pages.markup_for(form.flavor)
            said = pages.said_outliers(clean, markup.style)
            text = probe_pages.as_markup(made(clean, markup.style), said, markup)
            return text.rstrip("\n") + "\n" if unicode else markup_as_ascii(text)
        style = probe_pages.TERMINAL
        said = pages.said_outliers(clean, style)
        return probe_pages.as_text(made(clean, style), said, width=width, color=color, unicode=unicode)

    hand_over(form, draw)


@contextmanager
def _until_ctrl_c() -> Iterator[threading.Event]:
    """Set by the first Ctrl-C, so that what was measured is still printed; a second one ends at once."""
    cancelled = threading.Event()

    def stop(_signum: int, _frame: FrameType | None) -> None:
        if cancelled.is_set():
            raise KeyboardInterrupt
        cancelled.set()

    old = signal.signal(signal.SIGINT, stop)
    try:
        yield cancelled
    finally:
        signal.signal(signal.SIGINT, old)
