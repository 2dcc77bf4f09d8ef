"""Lists beside the timeline: causes, kernels, steps and ranks. Rows are pure functions; widgets hold keys."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.tui.charts.meter import meter
from advisor.tui.format import NONE
from advisor.tui.rows import Row, Span, left, right, width_of
from advisor.tui.text import safe
from advisor.tui.trace import palette, times
from advisor.tui.trace.legend import per_cent, tenths
from advisor.tui.trace.palette import LOOKS, ORDER, is_idle
from advisor.tui.trace.scene import Scene
from advisor.tui.trace.strips import short_name
from advisor.tui.widgets.keyed_table import KeyedTable
from rules.traces.kernel_records import KernelRow
from rules.traces.records import DeviceTrace, RankFigures, RankRow, StepFigures, StepRow

US = 1000


class SceneTable(KeyedTable):
    """A list that follows the scene."""

    scene: Scene | None = None

    def show(self, scene: Scene) -> None:
        """Draw what is in view now."""
        self.scene = scene
        self.rebuild()

    def build_head(self, width: int) -> Row:
        """Blank until there is a scene."""
        return self.head(self.scene, width) if self.scene is not None else ()

    def build_lines(self, width: int) -> dict[str, Row]:
        """Nothing until there is a scene."""
        return self.lines(self.scene, width - 2) if self.scene is not None else {}

    def head(self, scene: Scene, width: int) -> Row:
        """Column names."""
        raise NotImplementedError

    def lines(self, scene: Scene, width: int) -> dict[str, Row]:
        """A line a key."""
        raise NotImplementedError


class CauseTable(SceneTable):
    """Where the time went, of all of it and of what is in view; each column sums to 100 %."""

    def head(self, scene: Scene, width: int) -> Row:  # noqa: ARG002
        """Column names."""
        return (Span(f"    {'':<27}{'time':>9} {'of all':>8} {'in view':>8}", "dim"),)

    def lines(self, scene: Scene, width: int) -> dict[str, Row]:
        """Idle causes first, since they are what can be won; then what it was busy with."""
        window = scene.window
        whole = scene.shares(window.low_ns, window.high_ns)
        parts, view = tenths(whole), tenths(scene.shares(window.start_ns, window.end_ns))
        order = sorted((n for n in ORDER if n in whole), key=lambda n: (not is_idle(n), -whole[n]))
        room = min(60, width - 60)
        return {name: self._line(name, whole[name], parts, view, room) for name in order}

    def _line(self, name: str, ns: int, parts: dict[str, int], view: dict[str, int], room: int) -> Row:
        look = LOOKS[name]
        kind = "idle" if is_idle(name) else "busy"
        return (
            Span(palette.glyph(look, self.glyphs.ascii) + " ", look.role),
            Span(left(f"{kind}  {look.words}", 27), "" if kind == "idle" else "dim"),
            Span(right(times.duration(ns), 9)),
            Span(right(per_cent(parts[name]), 9), "strong"),
            Span(right(per_cent(view[name]) if name in view else NONE, 9) + "  ", "dim"),
            *(meter(parts[name] / 1000, room, self.glyphs, look.role) if room >= 6 else ()),
        )


KERNEL_ORDERS: tuple[str, ...] = ("total", "count", "mean", "roofline", "occupancy")


def roofline(row: KernelRow) -> float | None:
    """The larger part of a ceiling that it reaches."""
    known = [frac for frac in (row.compute_frac, row.memory_frac) if frac is not None]
    return max(known) if known else None


def kernel_value(row: KernelRow, order: str) -> float:
    """What kernels are sorted by, largest first; a low roofline or occupancy is what one looks for."""
    if order == "count":
        return float(row.count)
    if order == "mean":
        return row.mean_us
    frac = roofline(row) if order == "roofline" else row.occupancy
    return row.total_us if order == "total" else -2.0 if frac is None else -frac


def kernel_note(row: KernelRow) -> str:
    """What it is, and which of its figures are unknown, because of what."""
    parts = [f"{safe(row.family)}, {safe(row.precision)}" if row.precision else safe(row.family)]
    if row.tensor != "unknown":
        parts.append(f"tensor cores {row.tensor}")
    reasons: dict[str, list[str]] = {}
    for figure, why in row.unknown.items():
        reasons.setdefault(safe(why), []).append(safe(figure).removesuffix("_frac").replace("_", " "))
    parts += [f"unknown {', '.join(figures)}: {why}" for why, figures in reasons.items()]
    return "; ".join(parts)


class KernelTable(SceneTable):
    """The top kernels. order: what they are sorted by."""

    order = KERNEL_ORDERS[0]

    @property
    def selected(self) -> KernelRow | None:
        """The kernel under the cursor."""
        rows = self.scene.track.figures.kernels if self.scene else ()
        return next((row for row in rows if row.name == self.cursor_key), None)

    def head(self, scene: Scene, width: int) -> Row:  # noqa: ARG002
        """Column names; the one that sorts is bright."""
        heads = (("total", 10), ("count", 8), ("mean", 9), ("roofline", 9), ("occ.", 6))
        columns = [
            Span(right(head, size), "title" if name == self.order else "dim")
            for name, (head, size) in zip(KERNEL_ORDERS, heads, strict=True)
        ]
        busy, kernel = Span("   busy", "dim"), Span("  kernel", "dim")
        return (Span("    "), columns[0], busy, *columns[1:], kernel)

    def lines(self, scene: Scene, width: int) -> dict[str, Row]:
        """Sorted; what is not known comes last."""
        rows = scene.track.figures.kernels
        ranked = sorted(rows, key=lambda row: -kernel_value(row, self.order))
        chosen = scene.highlight.key if scene.highlight else None
        return {row.name: self._line(row, width, row.name == chosen) for row in ranked}

    def _line(self, row: KernelRow, width: int, chosen: bool) -> Row:
        look = LOOKS[row.nature]
        frac = roofline(row)
        which = "" if frac is None else " C" if frac == row.compute_frac else " M"
        lead = (
            f"{right(times.duration(row.total_us * US), 10)}{right(f'{row.busy_frac * 100:.1f} %', 7)}"
            f"{right(f'{row.count:,}', 8)}{right(times.duration(row.mean_us * US), 9)}"
        )
        # Above the roof of DRAM caches served a part; the kernel's note says so.
        roof = NONE if frac is None else f"{'>100' if frac > 1.0 else f'{frac * 100:.0f}'} %{which}"
        room = max(8, width - 53)
        occupancy = NONE if row.occupancy is None else f"{row.occupancy * 100:.0f} %"
        return (
            Span(palette.glyph(look, self.glyphs.ascii) + " ", look.role),
            Span(lead),
            Span(right(roof, 9)),
            Span(right(occupancy, 6)),
            Span("  " + left(short_name(safe(row.name)), room), "warn strong" if chosen else ""),
        )


class StepTable(SceneTable):
    """Steps of the device in view; outliers say why."""

    @property
    def figures(self) -> StepFigures | None:
        """The steps, where the trace marks any."""
        return self.scene.track.figures.steps if self.scene else None

    @property
    def selected(self) -> StepRow | None:
        """The step under the cursor."""
        rows = self.figures.rows if self.figures else ()
        return next((row for row in rows if str(row.number) == self.cursor_key), None)

    def head(self, scene: Scene, width: int) -> Row:  # noqa: ARG002
        """Column names."""
        return (Span(f"  {'step':>6}{'begins':>12}{'takes':>10}{'busy':>7}  mostly idle for", "dim"),)

    def lines(self, scene: Scene, width: int) -> dict[str, Row]:
        """In order of time."""
        figures = scene.track.figures.steps
        reasons = figures.outlier_because if figures else {}
        longest = max((row.duration_us for row in figures.rows), default=0.0) if figures else 0.0
        rows = figures.rows if figures else ()
        return {
            str(row.number): self._line(row, reasons.get(str(row.number), ""), longest, width) for row in rows
        }

    def _line(self, row: StepRow, because: str, longest: float, width: int) -> Row:
        busy = f"{row.busy_us / row.duration_us * 100:.0f} %" if row.duration_us else NONE
        lead: Row = (
            Span(right(str(row.number), 6), "strong"),
            Span(right(times.instant(round(row.start_us * US), 10_000), 12), "dim"),
            Span(right(times.duration(row.duration_us * US), 10), "warn" if row.outlier else ""),
            Span(right(busy, 7) + "  "),
        )
        if row.outlier:
            words = f"outlier: {safe(because)}" if because else "outlier"
            return (*lead, Span(left(words, max(8, width - width_of(lead))), "warn"))
        lead = (*lead, _main_cause(row))
        room = min(40, width - 70)
        return (*lead, Span(" "), *meter(row.duration_us / longest, room, self.glyphs)) if room >= 6 else lead


def _main_cause(row: StepRow) -> Span:
    """The cause that most of the step's idle time has."""
    name, us = max(row.causes.items(), key=lambda item: item[1], default=("", 0.0))
    look = LOOKS.get(name)
    if look is None or us <= 0:
        return Span(left(NONE, 30))
    return Span(left(f"{look.words} {times.duration(us * US)}", 30), look.role)


class RankTable(KeyedTable):
    """The ranks of the job, beside each other."""

    figures: RankFigures | None = None

    def show(self, figures: RankFigures | None) -> None:
        """Replace the figures."""
        self.figures = figures
        self.rebuild()

    @property
    def selected(self) -> RankRow | None:
        """The rank under the cursor."""
        rows = self.figures.rows if self.figures else ()
        return next((row for row in rows if rank_key(row) == self.cursor_key), None)

    def build_head(self, width: int) -> Row:  # noqa: ARG002
        """Column names."""
        return (Span(f"  {'rank':>6}{'span':>10}{'work':>10}{'exposed':>10}{'waits':>10}{'last':>7}", "dim"),)

    def build_lines(self, width: int) -> dict[str, Row]:
        """By rank; the one that others wait for is marked."""
        figures = self.figures
        return {rank_key(row): self._line(row, width - 2) for row in figures.rows} if figures else {}

    def _line(self, row: RankRow, width: int) -> Row:
        straggler = self.figures is not None and row.rank == self.figures.straggler
        waits = NONE if row.wait_us is None else times.duration(row.wait_us * US)
        last = NONE if row.last_frac is None else f"{row.last_frac * 100:.0f} %"
        because = self.figures.straggler_because if straggler and self.figures else ""
        return (
            Span(right(str(row.rank), 6), "strong"),
            Span(right(times.duration(row.span_us * US), 10)),
            Span(right(times.duration(row.work_us * US), 10)),
            Span(right(times.duration(row.exposed_us * US), 10), "link"),
            Span(right(waits, 10)),
            Span(right(last, 7)),
            Span(left(f"  straggler: {safe(because)}", max(8, width - 53)) if straggler else "", "warn"),
        )


def rank_key(row: RankRow) -> str:
    """Rank and device."""
    return f"{row.rank} {row.device}"


def no_steps(figures: DeviceTrace) -> str:
    """Why there is no list of steps."""
    reason = figures.unknown.get("steps")
    return safe(reason) if reason else "no steps: the program marked none (profiler.step(), or an NVTX range)"


def no_ranks(figures: RankFigures | None, files: int) -> str:
    """Why there is no list of ranks."""
    reasons: Sequence[str] = list(figures.unknown.values()) if figures else ()
    if reasons:
        return safe("; ".join(reasons))
    one = "no ranks: one file was read; give the files of several ranks of a job"
    return one if files < 2 else "no ranks: the files name none"
