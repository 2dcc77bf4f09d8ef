"""Observing a command from start to end without getting in its way."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from advisor.cli.checks.host import own_pids_are_the_drivers
from advisor.cli.child import Child
from advisor.cli.delivery import Delivery, check_writable, deliver
from advisor.cli.diagnostics import CliError, note
from advisor.cli.durations import format_duration
from advisor.cli.session import Look, Outcome, collect, diagnosis_of, live_feed, make_monitor
from advisor.document import Diagnosis
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
        self._thread = threading.Thread(target=self._run, name="advisor-observer", daemon=True)

    def prepare(self) -> None:
        """Start the sampler, and wait a moment until it is ready or has failed."""
        self._thread.start()
        self._ready.wait(READY_S)

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
            hello = self._feed.start()
        except NoFeedError as error:
            self.problem = CliError(str(error), error.fix)
        else:
            self._observe(hello)
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


def run_observed(argv: Sequence[str], look: Look, config: Config, wanted: Delivery) -> int:
    """Run the command, report on it, and give its exit code."""
    wanted = msgspec.structs.replace(wanted, to_stderr=True)
    check_writable(wanted)
    observer = Observer(live_feed(config), look, config)
    child = Child()
    try:
        observer.prepare()
        if observer.problem is not None:
            _say_unobserved(argv[0], observer.problem)
        observer.watch(child.start(argv))
        begin = time.monotonic()
        code = child.wait()
        lasted_s = time.monotonic() - begin
    finally:
        observer.finish()
        child.restore()
    if observer.problem is None:
        _report(observer, argv[0], lasted_s, wanted, config)
    return code


def _say_unobserved(program: str, problem: CliError) -> None:
    note(f"{program} runs unobserved: {problem}; `advisor doctor` says more")


def _report(observer: Observer, program: str, lasted_s: float, wanted: Delivery, config: Config) -> None:
    """Print the diagnosis, or why there is none; the command's exit code is never touched."""
    try:
        deliver(_diagnosis(observer, program, lasted_s), wanted, config)
    except CliError as error:
        note(str(error))


def _diagnosis(observer: Observer, program: str, lasted_s: float) -> Diagnosis:
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
    return diagnosis_of(observer.monitor, outcome)
