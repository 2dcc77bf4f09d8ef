"""What is shown: which track, which part of it, what is highlighted. Keys change it, strips draw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from advisor.tui.trace.cover import Cover, Ints, edges
from advisor.tui.trace.palette import ORDER
from advisor.tui.trace.track import Track
from advisor.tui.trace.window import Window

# What is jumped to and would not be seen takes this part of the view.
CLOSE_PART = 0.1


@dataclass(frozen=True)
class Highlight:
    """Something looked for in the timeline. key: what chose it. note: what is to be said of it."""

    key: str
    words: str
    cover: Cover
    note: str = ""


class Scene:
    """The state of the screen. Changing it draws nothing by itself."""

    def __init__(self, tracks: Sequence[Track]) -> None:
        self.tracks = tuple(tracks)
        self.current = 0
        self.highlight: Highlight | None = None
        self.width = 80
        self.window = self.track.window()

    @property
    def track(self) -> Track:
        """The track in sight."""
        return self.tracks[self.current]

    def beside(self) -> list[Track]:
        """Tracks of the same file, whose clock is the same: they can stand below each other."""
        file = self.track.figures.file
        return [track for track in self.tracks if track.figures.file == file]

    def go(self, by: int) -> None:
        """Another track; the view stays where both have one clock."""
        before = self.track
        self.current = (self.current + by) % len(self.tracks)
        self.highlight = None
        whole = self.track.window()
        if self.track.figures.file != before.figures.file:
            self.window = whole
            return
        old = self.window
        at_whole = old.length_ns == old.high_ns - old.low_ns
        moved = Window(whole.low_ns, whole.high_ns, whole.low_ns, whole.high_ns, old.cursor_ns).at(
            old.cursor_ns
        )
        self.window = moved if at_whole else moved.fit(old.start_ns, old.end_ns, 1.0).at(old.cursor_ns)

    def edges(self, width: int) -> Ints:
        """Borders of the columns in view."""
        return edges(self.window.start_ns, self.window.end_ns, width)

    def shares(self, start_ns: int, end_ns: int) -> dict[str, int]:
        """Class or cause -> ns of it in this stretch, without those that have none."""
        found = {name: self.track.covers[name].between(start_ns, end_ns) for name in ORDER}
        return {name: ns for name, ns in found.items() if ns}

    def step(self, by: int) -> bool:
        """The cursor to the next or the previous step's beginning; False where there is none."""
        start = self.track.steps[0]
        return self._jump(start, start, by)

    def gap(self, by: int, columns: int) -> bool:
        """The cursor into the next or the previous long gap; False where there is none."""
        spans = self.track.long_gaps
        return self._jump(spans.start_ns, spans.end_ns, by, columns)

    def place(self, by: int, columns: int) -> bool:
        """The cursor onto the next or the previous place of what is highlighted."""
        if self.highlight is None:
            return False
        spans = self.highlight.cover.spans
        return self._jump(spans.start_ns, spans.end_ns, by, columns)

    def _jump(self, start_ns: Ints, end_ns: Ints, by: int, columns: int = 0) -> bool:
        """To the nearest middle of an interval before or after the cursor.

        columns: of the view; what would be less than one of them wide is shown closer.
        """
        at = self.window.cursor_ns
        middle = (start_ns + end_ns) // 2
        if by > 0:
            place = int(np.searchsorted(middle, at, side="right"))
        else:
            place = int(np.searchsorted(middle, at, side="left")) - 1
        if not 0 <= place < middle.shape[0]:
            return False
        start, end = int(start_ns[place]), int(end_ns[place])
        if (end - start) * columns < self.window.length_ns and columns:
            self.window = self.window.fit(start, end, CLOSE_PART)
        else:
            self.window = self.window.at(int(middle[place]))
        return True
