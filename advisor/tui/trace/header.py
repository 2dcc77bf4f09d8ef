"""The two lines at the top: which file and device, what limits it, how idle it was, and what that costs."""

from __future__ import annotations

import re

from advisor.bills import row_amounts
from advisor.document import Diagnosis
from advisor.tui import format as fmt
from advisor.tui.glyphs import Glyphs
from advisor.tui.labels import CLASS_WORDS, group_of_class
from advisor.tui.rows import Row, Span, join, spread
from advisor.tui.text import safe
from advisor.tui.trace.scene import Scene
from advisor.tui.trace.track import Track

_DEVICE = re.compile(r"GPU \d+ \(.*?\):? ")


def file_words(track: Track) -> str:
    """The file's own name, without its folders."""
    name = track.file.name if track.file else track.timeline.meta.path
    return safe(name.rpartition("/")[2])


def header_rows(scene: Scene, diagnosis: Diagnosis, width: int, glyphs: Glyphs) -> list[Row]:
    """Two lines; the second is the verdict."""
    return [_name_row(scene, width, glyphs), _verdict_row(scene.track, diagnosis, width)]


def _name_row(scene: Scene, width: int, glyphs: Glyphs) -> Row:
    track = scene.track
    figures = track.figures
    facts = [file_words(track), safe(figures.name) if figures.name else "GPU model unknown", track.label]
    end: Row = ()
    if len(scene.tracks) > 1:
        end = (Span(f" {scene.current + 1} of {len(scene.tracks)}, tab "),)
    words = join([(Span(fact),) for fact in facts], f" {glyphs.dot} ")
    lost = sum(1 for loss in track.timeline.losses if loss.code in ("truncated", "damaged", "limit"))
    damaged: Row = (Span("  incomplete file", "warn"),) if lost else ()
    return spread((Span(" advisor trace ", "title"), Span(" "), *words, *damaged), end, width)


def _verdict_row(track: Track, diagnosis: Diagnosis, width: int) -> Row:
    figures = track.figures
    verdict = next((v for v in diagnosis.verdicts if v.key == figures.key), None)
    end: Row = (
        Span("  idle "),
        Span(f"{figures.idle_frac * 100:.1f} %", "bad strong" if figures.idle_frac >= 0.2 else "strong"),
        *_money(track, diagnosis, width),
        Span(" "),
    )
    if verdict is None:
        return spread((Span(" no verdict on this device", "dim"),), end, width)
    word = CLASS_WORDS.get(verdict.class_, verdict.class_)
    start: Row = (
        Span(f" {word}", f"{group_of_class(verdict.class_)} strong"),
        Span(f"  {without_device(safe(verdict.headline), verdict.class_)}"),
    )
    return spread(start, end, width)


def without_device(headline: str, class_: str) -> str:
    """The headline without the device and, where it is known, the class, which stand beside it already."""
    said = _DEVICE.match(headline)
    if said is None:
        return headline
    _, _, rest = headline.partition(": ")
    return rest if rest and class_ != "unknown" else headline[said.end() :]


def _money(track: Track, diagnosis: Diagnosis, width: int) -> Row:
    amount = row_amounts(diagnosis).get(track.figures.key)
    if amount is None or amount.wasted is None:
        return (Span("  no price: --price" if width >= 100 else "  no price", "dim"),)
    return (Span(f"  {fmt.money(amount.wasted / 100)}", "money strong"), Span("/h wasted"))
