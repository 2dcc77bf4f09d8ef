"""What every chart is drawn with: a figure of one width, the same type, and two ways to write it.

Matplotlib is used without pyplot, so that nothing is kept between charts and no display is looked for.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import msgspec
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from advisor.reports.charts.palette import LIGHT
from advisor.reports.charts.svg import embedded
from advisor.reports.escape import as_ascii, terminal

WIDTH_IN = 5.6
PNG_DPI = 180
_TITLE_IN = 0.25
_FOOTER_PT = 6.5
_FOOTER_LINE_IN = 0.125
_RC: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "advisor",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": LIGHT["text"],
    "axes.edgecolor": LIGHT["muted"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.minor.visible": False,
    "grid.color": LIGHT["grid"],
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.4,
    "lines.solid_joinstyle": "round",
    "path.simplify": False,
    "figure.facecolor": "none",
}
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


class Footer(msgspec.Struct, frozen=True, kw_only=True):
    """Lines below an image. marks: what must not be overlooked; facts: where its figures come from."""

    marks: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """One chart. name: a slug, unique in the document. key: the device it is of; None for the node.

    desc: what it shows, in words, for those who cannot see it.
    """

    name: str
    title: str
    desc: str
    draw: Callable[[], Figure]
    key: str | None = None

    def svg(self) -> str:
        """The chart as an element to embed in a page. The same chart gives the same bytes."""
        with _drawing():
            raw = io.BytesIO()
            self.draw().savefig(raw, format="svg", metadata=_NO_METADATA, transparent=True)
        return embedded(raw.getvalue(), self.name, self.title, self.desc)

    def png(self, footer: Footer) -> bytes:
        """The chart on white, with its title and what it is made of, for places that show it alone."""
        with _drawing():
            drawn = self.draw()
            width, height = drawn.get_size_inches()
            drawn.set_size_inches(width, height + _TITLE_IN)
            _write_below(drawn, footer)
            drawn.axes[0].set_title(self.title, loc="left", fontsize=10, fontweight="bold")
            raw = io.BytesIO()
            drawn.savefig(raw, format="png", dpi=PNG_DPI, facecolor=LIGHT["surface"])
        return raw.getvalue()


def _write_below(drawn: Figure, footer: Footer) -> None:
    """Make room at the bottom, and write there."""
    width, height = drawn.get_size_inches()
    room = _FOOTER_LINE_IN * (len(footer.marks) + len(footer.facts) + 0.5)
    whole = height + room
    drawn.set_size_inches(width, whole)
    engine = drawn.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(rect=(0.0, room / whole, 1.0, height / whole))
    lines = [(line, LIGHT["bad"], "bold") for line in footer.marks]
    lines += [(line, LIGHT["muted"], "normal") for line in footer.facts]
    for i, (line, colour, weight) in enumerate(lines):
        place = (room - _FOOTER_LINE_IN * (i + 0.25)) / whole
        drawn.text(0.012, place, line, color=colour, fontweight=weight, fontsize=_FOOTER_PT, va="top")


@contextmanager
def _drawing() -> Iterator[None]:
    """Our type and colours, whatever a matplotlibrc says; no word of a glyph that the font lacks.

    Both are of the whole process: charts are drawn by one thread at a time, and by none beside other plots.
    """
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def figure(height_in: float, width_in: float = WIDTH_IN) -> Figure:
    """An empty figure that lays itself out."""
    return Figure(figsize=(width_in, height_in), layout="constrained")


def label(text: str, limit: int = 28) -> str:
    """Untrusted text as a chart can draw it: one line of ASCII, not too long."""
    shown = as_ascii(terminal(text[: 4 * limit]))
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."
