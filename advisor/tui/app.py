"""AdvisorApp: one snapshot a second from a thread, screens that draw it, and keys."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar

import msgspec
from textual import on, work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.worker import get_current_worker

from advisor.snapshot import Snapshot
from advisor.tui.export import export, free_path, path_within, stamp
from advisor.tui.glyphs import ASCII, UNICODE, to_ascii
from advisor.tui.inside import outcome
from advisor.tui.messages import (
    Exported,
    FetchFailed,
    LookedInside,
    RecordingChanged,
    SnapshotFetched,
    TaskFailed,
)
from advisor.tui.screens.base import DataScreen, OneDeviceScreen
from advisor.tui.screens.overview import OverviewScreen
from advisor.tui.source import SnapshotSource
from advisor.tui.text import safe
from advisor.tui.themes import DARK, LIGHT, THEME_NAMES, group_colors, theme_name
from rules.stacks import Stacks

# Drawn at most five times a second, however often the source has news.
REDRAW_S = 0.2

# A notice lies over the line of keys: long enough to read, short enough not to be in the way.
NOTICE_S = 4.0
FAILURE_S = 8.0

Task = Callable[[], None]


class TuiOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the screens look and where they write.

    theme: "dark", "light", "ansi", or the name of one of Textual's themes. ascii: no character beyond
    ASCII. interval_s: how often the source is asked when it says nothing of its own accord. folder: where
    exports and recordings go. redact: whether exports are redacted.
    """

    theme: str = "dark"
    ascii: bool = False
    interval_s: float = 1.0
    folder: Path = Path()
    redact: bool = True


class AdvisorApp(App[int]):
    """The program's screens over one source."""

    TITLE = "advisor"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    NOTIFICATION_TIMEOUT = NOTICE_S
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "findings", "Findings"),
        Binding("dollar_sign", "money", "Money", key_display="$"),
        Binding("p", "probes", "Probes"),
        Binding("s", "stacks", "Stacks", show=False),
        Binding("space", "pause", "Pause", show=False),
        Binding("e", "export", "Export"),
        Binding("r", "record", "Record"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
    ]

    def __init__(self, source: SnapshotSource, options: TuiOptions | None = None) -> None:
        self.options = options or TuiOptions()
        self.source = source
        self.glyphs = ASCII if self.options.ascii else UNICODE
        self.snapshot: Snapshot | None = None
        self._newest: Snapshot | None = None
        self.recording: Path | None = None
        self.paused = False
        self.looking: set[str] = set()
        self._stop = threading.Event()
        self._news = threading.Event()
        self._tasks: queue.SimpleQueue[tuple[str, Task] | None] = queue.SimpleQueue()
        self._writing: Path | None = None
        super().__init__()
        self.animation_level = "none"
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = self._known_theme(self.options.theme)

    def _known_theme(self, choice: str) -> str:
        name = theme_name(choice)
        if name not in self.available_themes:
            known = ", ".join(sorted((*THEME_NAMES, *self.available_themes)))
            raise ValueError(f"no theme is called {choice!r}; known are {known}")
        return name

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Colours of the share groups, for whichever theme is chosen."""
        return group_colors(self.current_theme)

    def get_default_screen(self) -> Screen[None]:
        """The overview."""
        return OverviewScreen()

    def on_mount(self) -> None:
        """Begin asking the source."""
        self.set_class(self.options.ascii, "-ascii")
        if self.options.ascii:
            from advisor.tui.plain import use_ascii_scrollbars

            use_ascii_scrollbars()
        self.source.subscribe(self._news)
        self.fetch()
        self.work_off()

    def on_unmount(self) -> None:
        """Let the threads end, the second with what was asked of it."""
        self._stop.set()
        self._news.set()
        self._tasks.put(None)

    # Workers: they post messages and touch no widget.

    @work(thread=True, exclusive=True, group="fetch", exit_on_error=False)
    def fetch(self) -> None:
        """Ask the source when it has news, else about once a second, and pass on what is new."""
        worker = get_current_worker()
        last: Snapshot | None = None
        problem: str | None = None
        while not (worker.is_cancelled or self._stop.is_set()):
            try:
                snapshot = self.source.snapshot()
            except Exception as error:  # a broken source must not end the screens
                self.post_message(FetchFailed(f"{type(error).__name__}: {error}"))
            else:
                if snapshot is not last:
                    last = snapshot
                    self.post_message(SnapshotFetched(snapshot))
            if self.source.recording_problem != problem:
                problem = self.source.recording_problem
                if problem:
                    self.post_message(RecordingChanged(None))
                    self.post_message(TaskFailed(f"the recording ended: {problem}"))
            self._stop.wait(min(REDRAW_S, self.options.interval_s))
            self._news.wait(self.options.interval_s)
            self._news.clear()

    @work(thread=True, exclusive=True, group="tasks", exit_on_error=False)
    def work_off(self) -> None:
        """Do what keys asked for, one after the other in the order of the keys."""
        while (asked := self._tasks.get()) is not None:
            what, task = asked
            try:
                task()
            except Exception as error:  # whatever failed, the screens go on and say so
                self.post_message(TaskFailed(f"{what}: {error}"))

    @work(thread=True, group="stacks", exit_on_error=False)
    def look_inside(self, key: str) -> None:
        """Sample stacks; beside the other tasks, since it takes seconds."""
        try:
            seen = self.source.look_inside(key, self._stop.is_set)
        except Exception as error:  # whatever failed, the screens go on and say so
            seen = Stacks(pid=0, tool="py-spy", samples=0, seconds=0.0, missing=f"it failed: {error}")
        self.post_message(LookedInside(key, seen))

    def attempt(self, what: str, task: Task) -> None:
        """Do something slow off the UI thread, after what was asked before; a failure becomes a notice."""
        self._tasks.put((what, task))

    # What arrives.

    @on(SnapshotFetched)
    def take_snapshot(self, message: SnapshotFetched) -> None:
        """Keep it, and let the screen in sight draw it; a pause keeps the old one in sight."""
        self._newest = message.snapshot
        if not self.paused:
            self.draw(message.snapshot)

    def draw(self, snapshot: Snapshot) -> None:
        """Keep this snapshot and draw it on the topmost screen that shows data."""
        self.snapshot = snapshot
        for screen in reversed(self.screen_stack):
            if isinstance(screen, DataScreen):
                screen.show(snapshot)
                return

    @on(FetchFailed)
    def tell_fetch_failed(self, message: FetchFailed) -> None:
        """Old data looks stale, with the reason."""
        if self.snapshot is not None:
            self.draw(msgspec.structs.replace(self.snapshot, stale=f"no new data: {message.error}"))

    @on(Exported)
    def tell_exported(self, message: Exported) -> None:
        """Say where the report lies."""
        first, *others = message.paths
        self.tell("Exported", first, "".join(f" and {path.suffix}" for path in others))

    @on(RecordingChanged)
    def tell_recording(self, message: RecordingChanged) -> None:
        """Badge and notice. A recording may have ended before the word of its begin arrives."""
        if message.path is not None and self.source.recording_problem:
            return
        ended, self.recording = self.recording, message.path
        if message.path is not None:
            self.tell("Recording to", message.path)
        elif ended is not None:
            self.tell("Recorded", ended)
        if self.snapshot is not None:
            self.draw(self.snapshot)

    @on(LookedInside)
    def tell_looked(self, message: LookedInside) -> None:
        """What it showed, or why it showed nothing; the device's own screen has it all."""
        self.looking.discard(message.key)
        failed = not message.stacks.groups
        self.notify(
            self.plain(outcome(message.stacks)),
            severity="warning" if failed else "information",
            timeout=FAILURE_S if failed else NOTICE_S,
            markup=False,
        )
        self._redraw()

    def _redraw(self) -> None:
        if self.snapshot is not None:
            self.draw(self.snapshot)

    @on(TaskFailed)
    def tell_failed(self, message: TaskFailed) -> None:
        """Say what did not work."""
        text = f"Did not work: {message.text}"
        self.notify(self.plain(text), severity="error", timeout=FAILURE_S, markup=False)

    def tell(self, what: str, path: Path, more: str = "") -> None:
        """One line on a file; of a path too long for it, the end is shown."""
        room = self.size.width - len(what) - len(more) - 4
        self.notify(self.plain(f"{what} {path_within(path, room)}{more}"), markup=False)

    def plain(self, text: str) -> str:
        """The text in what the terminal can show, without control characters."""
        return to_ascii(safe(text)) if self.options.ascii else safe(text)

    # Keys.

    def action_pause(self) -> None:
        """Freeze what is shown, or go on."""
        self.paused = not self.paused
        on = self.paused
        self.attempt("pause", lambda: self.source.pause(on))
        shown = self.snapshot if on else self._newest
        if shown is not None:
            self.draw(msgspec.structs.replace(shown, paused=True) if on else shown)

    def action_export(self) -> None:
        """Write the report of what is on the screen."""
        if self.snapshot is None:
            self.notify("no data yet", severity="warning")
            return
        diagnosis = self.snapshot.diagnosis
        folder = self.options.folder
        redact = self.options.redact
        self.attempt("export", lambda: self._posted(Exported(export(diagnosis, folder, redact=redact))))

    def _posted(self, message: Exported | RecordingChanged) -> None:
        self.post_message(message)

    def action_record(self) -> None:
        """Begin or end a recording."""
        self.attempt("record", self._toggle_recording)

    def _toggle_recording(self) -> None:
        """On the thread that works off tasks, which alone knows whether a recording it began still runs."""
        if self._writing is None or self.source.recording_problem:
            self._start_recording()
        else:
            self._stop_recording()

    def _start_recording(self) -> None:
        base = free_path(self.options.folder, f"advisor-{stamp(time.time())}", (".jsonl",))
        path = base.with_name(base.name + ".jsonl")
        self.source.start_recording(path)
        self._writing = path
        self._posted(RecordingChanged(path))

    def _stop_recording(self) -> None:
        self._writing = None
        self.source.stop_recording()
        self._posted(RecordingChanged(None))

    def open_detail(self, key: str) -> None:
        """One device's own screen."""
        from advisor.tui.screens.detail import DetailScreen

        self.push_screen(DetailScreen(key))

    def open_page(self, code: str) -> None:
        """A rule's page."""
        from advisor.tui.screens.explain import ExplainScreen

        self.push_screen(ExplainScreen(code))

    def action_findings(self) -> None:
        """All findings, by dollars an hour."""
        from advisor.tui.screens.findings import FindingsScreen

        self._show_once(FindingsScreen)

    def action_money(self) -> None:
        """Where every dollar goes."""
        from advisor.tui.screens.money import MoneyScreen

        self._show_once(MoneyScreen)

    def action_probes(self) -> None:
        """The ceilings of the device that the screen is about, or that is selected on the one below it."""
        from advisor.tui.screens.probes import ProbesScreen

        key = self._device_key()
        self._show_once(ProbesScreen, lambda: ProbesScreen(key))

    def action_stacks(self) -> None:
        """Look inside the process of the device that the screen is about, or that is selected on it."""
        key = self._device_key()
        if not key or key in self.looking:
            return
        self.looking.add(key)
        if not any(isinstance(screen, OneDeviceScreen) and screen.key == key for screen in self.screen_stack):
            self.open_detail(key)
        else:
            self._redraw()
        # What is said of a look that fails at once belongs on the screen that opens now.
        self.call_after_refresh(self.look_inside, key)

    def _device_key(self) -> str:
        data = [screen for screen in reversed(self.screen_stack) if isinstance(screen, DataScreen)]
        keys = (screen.device_key for screen in data)
        return next((key for key in keys if key is not None), "")

    def action_help(self) -> None:
        """Keys and what the glyphs mean."""
        from advisor.tui.screens.help import HelpScreen

        self._show_once(HelpScreen)

    def _show_once(self, kind: type[Screen[None]], make: Callable[[], Screen[None]] | None = None) -> None:
        """Go back to the screen of this kind where one is open, else open one."""
        if any(isinstance(screen, kind) for screen in self.screen_stack):
            while not isinstance(self.screen, kind):
                self.pop_screen()
        else:
            self.push_screen(make() if make is not None else kind())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """A screen's own key is not offered on that screen."""
        here = getattr(self.screen, "ACTION", "") if self.screen_stack else ""
        return action != here or not here

    def action_command_palette(self) -> None:
        """The toolkit's palette, with words that every terminal can show."""
        from textual.command import CommandPalette

        if not isinstance(self.screen, CommandPalette):
            self.push_screen(CommandPalette(placeholder="Search for commands", id="--command-palette"))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The same actions in the command palette."""
        yield SystemCommand("Findings", "All findings, by dollars an hour", self.action_findings)
        yield SystemCommand("Money", "Where every dollar goes, by GPU", self.action_money)
        yield SystemCommand("Probes", "The selected GPU's ceilings", self.action_probes)
        yield SystemCommand("Stacks", "Look inside the selected GPU's process", self.action_stacks)
        yield SystemCommand("Pause or resume", "Freeze what is shown", self.action_pause)
        yield SystemCommand("Export", "Write the report as Markdown and JSON", self.action_export)
        yield SystemCommand("Record", "Begin or end a recording", self.action_record)
        yield SystemCommand("Help", "Keys and glyphs", self.action_help)
        yield from super().get_system_commands(screen)
