"""TraceScreen: the timeline above, one of six panels below, and the keys that tie them together."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import ContentSwitcher, Footer

from advisor.document import Diagnosis
from advisor.tui.trace.page import FindingPage
from advisor.tui.trace.palette import LOOKS
from advisor.tui.trace.scene import Highlight, Scene
from advisor.tui.trace.tables import (
    KERNEL_ORDERS,
    US,
    CauseTable,
    KernelTable,
    RankTable,
    SceneTable,
    StepTable,
    kernel_note,
    no_ranks,
    no_steps,
)
from advisor.tui.trace.under import found_at
from advisor.tui.trace.widgets import (
    PANELS,
    HereBody,
    LegendLine,
    Note,
    PanelNames,
    SceneView,
    TimelineView,
    TraceHeader,
)
from advisor.tui.trace.window import ZOOM
from advisor.tui.widgets.finding_table import FindingTable
from advisor.tui.widgets.keyed_table import KeyedTable
from advisor.tui.widgets.scroller import Scroller

if TYPE_CHECKING:
    from advisor.tui.trace.app import TraceApp


# A smaller terminal holds no timeline, and is told so.
LEAST_COLUMNS = 40
LEAST_LINES = 12


class TraceScreen(Screen[None]):
    """One track at a time; everything shown follows the scene."""

    AUTO_FOCUS = ""
    HORIZONTAL_BREAKPOINTS = [(0, "-thin"), (LEAST_COLUMNS, "-wide")]  # noqa: RUF012 - as the toolkit has it
    VERTICAL_BREAKPOINTS = [(0, "-low"), (LEAST_LINES, "-high")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move(-1)", "Left", show=False, priority=True),
        Binding("right,l", "move(1)", "Right", show=False, priority=True),
        Binding("shift+left,H", "pan(-1)", "Pan left", show=False, priority=True),
        Binding("shift+right,L", "pan(1)", "Pan right", show=False, priority=True),
        Binding("plus,equals_sign", "zoom(1)", "Zoom", key_display="+ -"),
        Binding("minus", "zoom(-1)", "Away", show=False),
        Binding("z", "fit", "Close-up"),
        Binding("0", "reset", "All"),
        Binding("left_square_bracket", "gap(-1)", "Previous gap", show=False),
        Binding("right_square_bracket", "gap(1)", "Gaps", key_display="[ ]"),
        Binding("n", "step(1)", "Steps", key_display="n p"),
        Binding("p", "step(-1)", "Previous step", show=False),
        Binding("full_stop", "place(1)", "Next place", show=False),
        Binding("comma", "place(-1)", "Previous place", show=False),
        Binding("tab", "track(1)", "Next device", show=False, priority=True),
        Binding("shift+tab", "track(-1)", "Previous device", show=False, priority=True),
        *(Binding(str(n), f"panel('{name}')", name, show=False) for n, name in enumerate(PANELS, start=1)),
        Binding("f", "panel('findings')", "Findings", show=False),
        Binding("o", "order", "Order", show=False),
        Binding("v", "small", "Smaller", show=False),
        Binding("x", "explain", "Explain", show=False),
        Binding("escape", "clear", "Clear", show=False),
    ]

    def __init__(self, scene: Scene, diagnosis: Diagnosis) -> None:
        super().__init__()
        self.scene = scene
        self.diagnosis = diagnosis

    @property
    def trace_app(self) -> TraceApp:
        """The app, with its type."""
        return cast("TraceApp", self.app)

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        glyphs = self.trace_app.glyphs
        small = Note(glyphs)
        small.id = "too-small"
        small.words = f"terminal too small: at least {LEAST_COLUMNS} by {LEAST_LINES}; q quits"
        yield small
        yield TraceHeader(self.scene, self.diagnosis, glyphs)
        with Vertical(id="top"):
            yield TimelineView(self.scene, glyphs)
            yield LegendLine(self.scene, glyphs)
        yield PanelNames(self.scene, glyphs)
        with ContentSwitcher(id="panels", initial="here"):
            with Scroller(id="here"):
                yield HereBody(self.scene, glyphs)
            for name, kind in (("causes", CauseTable), ("kernels", KernelTable), ("steps", StepTable)):
                table = kind(glyphs)
                table.id = name
                yield table
            ranks, findings = RankTable(glyphs), FindingTable(glyphs)
            ranks.id, findings.id = "ranks", "findings"
            yield ranks
            yield findings
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """What the panels show, and why one of them is empty."""
        report = self.diagnosis.trace
        files = len(report.files) if report else 1
        ranks = report.ranks if report else None
        table = self.query_one(RankTable)
        table.say_when_empty(no_ranks(ranks, files))
        table.show(ranks)
        found = self.query_one(FindingTable)
        found.say_when_empty("no findings: nothing stands out in this trace")
        found.show(self.diagnosis.findings)
        self.query_one(CauseTable).say_when_empty("nothing is known of this device's time")
        self.query_one(KernelTable).say_when_empty("no kernels: none ran on this device")
        self._focus()

    @property
    def timeline(self) -> TimelineView:
        """The timeline."""
        return self.query_one(TimelineView)

    @property
    def panel(self) -> str:
        """The name of the panel that is open."""
        return self.query_one(ContentSwitcher).current or PANELS[0]

    def on_resize(self) -> None:
        """Another height means other lanes."""
        self.call_after_refresh(self.draw)

    def draw(self) -> None:
        """Draw the scene as it is now."""
        if not self.app.is_running:
            return
        with self.app.batch_update():
            for view in self.query(SceneView):
                view.rebuild()
            self.query_one(StepTable).say_when_empty(no_steps(self.scene.track.figures))
            for table in self.query(KeyedTable):
                if isinstance(table, SceneTable):
                    table.scene = self.scene
                if table.display:
                    table.rebuild()

    def _focus(self) -> None:
        panel: Widget = self.query_one(f"#{self.panel}")
        panel.focus()

    # Moving about.

    def action_move(self, by: int) -> None:
        """The cursor by columns."""
        self.scene.window = self.scene.window.move(by, self.timeline.columns)
        self.draw()

    def action_pan(self, by: int) -> None:
        """Half of the view to the side."""
        self.scene.window = self.scene.window.pan(by * 0.5)
        self.draw()

    def action_zoom(self, by: int) -> None:
        """Closer or away."""
        self.scene.window = self.scene.window.zoom(ZOOM if by > 0 else 1 / ZOOM)
        self.draw()

    def action_reset(self) -> None:
        """All of it."""
        self.scene.window = self.scene.window.reset()
        self.draw()

    def action_fit(self) -> None:
        """A close-up of what is under the cursor."""
        found = found_at(self.scene, self.timeline.columns)
        if found is not None:
            self.scene.window = self.scene.window.fit(found.start_ns, found.end_ns)
            self.draw()

    def action_gap(self, by: int) -> None:
        """The next or the previous long gap."""
        self._jumped(
            self.scene.gap(by, self.timeline.columns), "no further long gap: they hold half of the idle time"
        )

    def action_step(self, by: int) -> None:
        """The next or the previous step."""
        words = "no further step" if len(self.scene.track.steps[0]) else "no steps are marked in this trace"
        self._jumped(self.scene.step(by), words)

    def action_place(self, by: int) -> None:
        """The next or the previous place of what is highlighted."""
        none = "nothing is highlighted: Enter on a kernel or a cause" if self.scene.highlight is None else ""
        self._jumped(self.scene.place(by, self.timeline.columns), none or "no further place")

    def _jumped(self, there: bool, otherwise: str) -> None:
        if there:
            self.draw()
        else:
            self.notify(otherwise, markup=False)

    def action_track(self, by: int) -> None:
        """Another device or rank."""
        if len(self.scene.tracks) > 1:
            self.scene.go(by)
            self.draw()

    @on(TimelineView.Zoomed)
    def wheel(self, message: TimelineView.Zoomed) -> None:
        """As the keys do."""
        self.action_zoom(message.by)

    @on(TimelineView.Pointed)
    def point(self, message: TimelineView.Pointed) -> None:
        """The cursor to a column."""
        columns = self.timeline.columns
        self.action_move(min(message.column, columns - 1) - self.scene.window.column(columns))

    # Panels.

    def action_panel(self, name: str) -> None:
        """Open a panel, and give it the keys."""
        self.query_one(ContentSwitcher).current = name
        names = self.query_one(PanelNames)
        names.panel = name
        self._focus()
        self.draw()

    def action_small(self) -> None:
        """A small timeline, or a large one again."""
        self.timeline.small = not self.timeline.small
        self.timeline.refresh(layout=True)
        self.call_after_refresh(self.draw)

    def action_order(self) -> None:
        """The next order of kernels."""
        table = self.query_one(KernelTable)
        table.order = KERNEL_ORDERS[(KERNEL_ORDERS.index(table.order) + 1) % len(KERNEL_ORDERS)]
        self.action_panel("kernels")

    def action_clear(self) -> None:
        """No highlight; a second time, the first panel."""
        if self.scene.highlight is not None:
            self.scene.highlight = None
            self.draw()
        else:
            self.action_panel(PANELS[0])

    @on(KeyedTable.Opened, "#causes")
    def open_cause(self, message: KeyedTable.Opened) -> None:
        """Highlight the cause, or no longer."""
        if message.key in LOOKS:
            cover = self.scene.track.covers[message.key]
            self._highlight(Highlight(message.key, LOOKS[message.key].words, cover))

    @on(KeyedTable.Opened, "#kernels")
    def open_kernel(self) -> None:
        """Highlight the kernel, or no longer."""
        row = self.query_one(KernelTable).selected
        if row is not None:
            cover = self.scene.track.kernel_cover(row.name)
            self._highlight(Highlight(row.name, row.name, cover, kernel_note(row)))

    def _highlight(self, wanted: Highlight) -> None:
        same = self.scene.highlight is not None and self.scene.highlight.key == wanted.key
        self.scene.highlight = None if same else wanted
        self.draw()

    @on(KeyedTable.Opened, "#steps")
    def open_step(self) -> None:
        """Show the step."""
        row = self.query_one(StepTable).selected
        if row is not None:
            start = round(row.start_us * US)
            self.scene.window = self.scene.window.fit(start, start + round(row.duration_us * US), 0.9)
            self.draw()

    @on(KeyedTable.Opened, "#ranks")
    def open_rank(self) -> None:
        """Go to the rank's device."""
        row = self.query_one(RankTable).selected
        for place, track in enumerate(self.scene.tracks):
            if row is not None and (track.figures.file, track.figures.device) == (row.file, row.device):
                self.scene.go(place - self.scene.current)
                self.draw()
                return

    @on(KeyedTable.Opened, "#findings")
    def open_finding(self) -> None:
        """The finding in full."""
        found = self.query_one(FindingTable).selected
        if found is not None:
            self.app.push_screen(FindingPage(found))

    def action_explain(self) -> None:
        """The page of the rule of the finding under the cursor."""
        found = self.query_one(FindingTable).selected
        if found is not None and self.panel == "findings":
            self.trace_app.open_page(found.code)
