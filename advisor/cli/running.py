"""Observing a command from start to end without getting in its way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from advisor.cli.checks.host import own_pids_are_the_drivers
from advisor.cli.child import Child
from advisor.cli.delivery import Delivery, check_writable, deliver
from advisor.cli.diagnostics import CliError, note, warn
from advisor.cli.durations import format_duration
from advisor.cli.session import (
    Look,
    Outcome,
    beside_its_past,
    collect,
    diagnosis_of,
    live_feed,
    make_monitor,
)
from advisor.document import Diagnosis, Flag
from advisor.telemetry.feed import NoFeedError

if TYPE_CHECKING:
    from advisor.config import Config
    from advisor.monitor import Monitor
    from advisor.telemetry.feed import Feed
    from advisor.telemetry.records import Hello

# A healthy driver answers in 0.1 s; a slow one must not hold the command back, and is waited for beside it.
READY_S = 1.0
STOP_S = 5.0
# Processes are looked at every 5 s: a command shorter than this may have used a GPU between two looks.
ATTRIBUTION_S = 12.0


class Observer:
    """Watches the node on its own thread, so that a hung driver delays neither the command nor its end."""

    def __init__(self, feed: Feed, look: Look, config: Config) -> None:
        self._feed = feed
        self._look = look
        self._config = config
        self._ready = threading.Event()
        self._go = threading.Event()
        self._over = threading.Event()
        self._pid = 0
        self.monitor: Monitor | None = None
        self.outcome = Outcome()
        self.problem: CliError | None = None
        self.told = False
        self._thread = threading.Thread(target=self._run, name="advisor-observer", daemon=True)

    def prepare(self) -> None:
        """Start the sampler, and wait a moment until it is ready or has failed."""
        self._thread.start()
        self._ready.wait(READY_S)

    def tell(self, program: str) -> None:
        """Say why nothing can be observed, where that is known before the command starts."""
        if self.problem is not None:
            self.told = True
            note(f"{program} runs unobserved: {self.problem}; `advisor doctor` says more")

    def watch(self, pid: int) -> None:
        """From now on, keep what this process and its children do."""
        self._pid = pid
        self._go.set()

    def finish(self) -> None:
        """Stop watching. A driver that hangs is left behind."""
        self._over.set()
        self._go.set()
        self._thread.join(STOP_S)

    def _run(self) -> None:
        try:
            self._observe(self._feed.start())
        except NoFeedError as error:
            self.problem = CliError(str(error), error.fix)
        except Exception as error:
            self.problem = CliError(_reason(error))
        finally:
            self._ready.set()
            self._feed.close()

    def _observe(self, hello: Hello) -> None:
        try:
            monitor = make_monitor(hello, self._look, self._config)
        except CliError as error:
            self.problem = error
            return
        self._ready.set()
        self._go.wait()
        self._feed.poll(0.0)  # what came before the command started is not the command's
        header = msgspec.structs.replace(hello, t_s=time.time())
        self.outcome = collect(
            self._feed, monitor, header, None, label="", stop=self._over.is_set, pid=self._pid
        )
        self.monitor = monitor


def run_observed(
    argv: Sequence[str], look: Look, config: Config, wanted: Delivery, history: bool | None = None
) -> int:
    """Run the command, report on it, and give its exit code. history: whether to keep the report, if said."""
    wanted = msgspec.structs.replace(wanted, to_stderr=True)
    check_writable(wanted)
    observer = Observer(live_feed(config), look, config)
    child = Child()
    try:
        observer.prepare()
        observer.tell(argv[0])
        observer.watch(child.start(argv))
        begin = time.monotonic()
        code = child.wait()
        lasted_s = time.monotonic() - begin
    finally:
        observer.finish()
        child.restore()
    if not observer.told:
        _report(lambda: _diagnosis(observer, argv[0], lasted_s), wanted, config, history)
    return code


def _report(made: Callable[[], Diagnosis], wanted: Delivery, config: Config, history: bool | None) -> None:
    """Print the diagnosis, or why there is none; the command's exit code is never touched."""
    from advisor.keeping.recorder import keep_diagnosis

    try:
        diagnosis = beside_its_past(made(), config)
        try:
            deliver(diagnosis, wanted, config)
        finally:
            keep_diagnosis(diagnosis, config, warn, history)
    except KeyboardInterrupt:
        note("interrupted: there is no report")
    except Exception as error:
        note(_reason(error))


def _reason(error: Exception) -> str:
    """One sentence for whatever went wrong. What is no CliError is a defect, but not the command's."""
    if isinstance(error, CliError):
        return str(error)
    return f"no report could be made: {type(error).__name__}: {error} (a defect in advisor)"


def _diagnosis(observer: Observer, program: str, lasted_s: float) -> Diagnosis:
    if observer.problem is not None:
        raise observer.problem
    if observer.monitor is None:
        raise CliError(f"{program} could not be observed: the driver did not answer")
    outcome = observer.outcome
    if outcome.frames == 0:
        why = outcome.silence or f"it ended after {format_duration(max(lasted_s, 0.001))}"
        raise CliError(f"{program} was not observed: no sample came while it ran ({why})")
    if not outcome.keys:
        if lasted_s > ATTRIBUTION_S and own_pids_are_the_drivers():
            raise CliError(f"{program} and its children used no GPU in {format_duration(lasted_s)}")
        note(f"{program} was not seen among the GPU processes; this is every visible GPU while it ran")
        return _not_attributed(diagnosis_of(observer.monitor, outcome))
    return diagnosis_of(observer.monitor, outcome)


def _not_attributed(diagnosis: Diagnosis) -> Diagnosis:
    """The document of other people's GPUs says that it is that, also where stderr is not kept."""
    said = "no process of the command was seen on a GPU: these rows are of every visible GPU"
    flag = Flag(code="not-attributed", message=said)
    return msgspec.structs.replace(diagnosis, flags=(flag, *diagnosis.flags))
