"""TraceApp: the program's screens over profiler traces that were read and analysed."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen

from advisor.document import Diagnosis
from advisor.tui.app import FAILURE_S, NOTICE_S, TuiOptions
from advisor.tui.export import export, path_within
from advisor.tui.glyphs import ASCII, UNICODE, to_ascii
from advisor.tui.text import safe
from advisor.tui.themes import DARK, LIGHT, THEME_NAMES, group_colors, theme_name
from advisor.tui.trace.page import NoDeviceScreen
from advisor.tui.trace.scene import Scene
from advisor.tui.trace.screen import TraceScreen
from advisor.tui.trace.track import Track

if TYPE_CHECKING:
    from advisor.traces.analyse import Analysis


class TraceApp(App[int]):
    """One analysis, drawn. Nothing in it changes but what is in view."""

    TITLE = "advisor trace"
    CSS_PATH: ClassVar[list[str | PurePath]] = ["../app.tcss", "trace.tcss"]
    ENABLE_COMMAND_PALETTE = False
    NOTIFICATION_TIMEOUT = NOTICE_S
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "export", "Export"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
    ]

    def __init__(self, tracks: list[Track], diagnosis: Diagnosis, options: TuiOptions | None = None) -> None:
        self.options = options or TuiOptions()
        self.glyphs = ASCII if self.options.ascii else UNICODE
        self.diagnosis = diagnosis
        self.scene = Scene(tracks) if tracks else None
        super().__init__()
        self.animation_level = "none"
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        chosen = theme_name(self.options.theme)
        if chosen not in self.available_themes:
            known = ", ".join(sorted((*THEME_NAMES, *self.available_themes)))
            raise ValueError(f"no theme is called {self.options.theme!r}; known are {known}")
        self.theme = chosen

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Colours of the groups, for whichever theme is chosen."""
        return group_colors(self.current_theme)

    def get_default_screen(self) -> Screen[None]:
        """The timeline, or why there is none."""
        if self.scene is None:
            return NoDeviceScreen(self.diagnosis)
        return TraceScreen(self.scene, self.diagnosis)

    def on_mount(self) -> None:
        """Plain terminals."""
        self.set_class(self.options.ascii, "-ascii")
        if self.options.ascii:
            from advisor.tui.plain import use_ascii_scrollbars

            use_ascii_scrollbars()

    def open_page(self, code: str) -> None:
        """A rule's page."""
        from advisor.tui.screens.explain import ExplainScreen

        self.push_screen(ExplainScreen(code))

    def action_help(self) -> None:
        """Keys and glyphs."""
        from advisor.tui.trace.help import TraceHelpScreen

        if not isinstance(self.screen, TraceHelpScreen):
            self.push_screen(TraceHelpScreen())

    @work(thread=True, group="export", exit_on_error=False)
    def action_export(self) -> None:
        """Write the report, off the UI thread."""
        try:
            paths = export(self.diagnosis, self.options.folder, redact=self.options.redact)
        except Exception as error:  # whatever failed, the screen goes on and says so
            self.call_from_thread(self.tell, f"Did not work: export: {error}", failed=True)
        else:
            more = "".join(f" and {path.suffix}" for path in paths[1:])
            shown = path_within(paths[0], self.size.width - 24)
            self.call_from_thread(self.tell, f"Exported {shown}{more}")

    def tell(self, text: str, failed: bool = False) -> None:
        """A notice, in what the terminal can show."""
        plain = to_ascii(safe(text)) if self.options.ascii else safe(text)
        severity, seconds = ("error", FAILURE_S) if failed else ("information", NOTICE_S)
        self.notify(plain, severity=severity, timeout=seconds, markup=False)  # type: ignore[arg-type]


def tracks_of(analysis: Analysis) -> list[Track]:
    """A track a device, by file and number."""
    files = analysis.report.files
    return [
        Track(
            analysis.timelines[figures.file],
            analysis.attributions[(figures.file, figures.device)],
            figures,
            files[figures.file] if figures.file < len(files) else None,
            analysis.natures[figures.file],
        )
        for figures in analysis.report.devices
        if (figures.file, figures.device) in analysis.attributions
    ]


def run_trace(analysis: Analysis, diagnosis: Diagnosis, options: TuiOptions | None = None) -> None:
    """Show the screen until the person quits. An unknown theme raises ValueError."""
    TraceApp(tracks_of(analysis), diagnosis, options).run()
