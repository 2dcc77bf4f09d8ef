"""What part of a timeline is in view, and where the cursor is: zoom, pan and jumps as pure functions."""

from __future__ import annotations

from dataclasses import dataclass, replace

ZOOM = 2.0
# The closest zoom: a kernel takes microseconds, and clocks of profilers tick in nanoseconds.
LEAST_NS = 400


def column_of(at_ns: int, start_ns: int, length_ns: int, width: int) -> int:
    """The column that holds this time, where column k begins at floor(k * length / width)."""
    column = ((at_ns - start_ns + 1) * width - 1) // max(1, length_ns)
    return max(0, min(width - 1, column))


@dataclass(frozen=True, slots=True)
class Window:
    """[start, end) of [low, high), and the cursor's time; ns since the trace's zero."""

    low_ns: int
    high_ns: int
    start_ns: int
    end_ns: int
    cursor_ns: int

    @classmethod
    def whole(cls, low_ns: int, high_ns: int) -> Window:
        """All of it, the cursor in the middle."""
        high_ns = max(high_ns, low_ns + 1)
        return cls(low_ns, high_ns, low_ns, high_ns, (low_ns + high_ns) // 2)

    @property
    def length_ns(self) -> int:
        """Time in view."""
        return self.end_ns - self.start_ns

    def reset(self) -> Window:
        """All of it again; the cursor stays."""
        return replace(self, start_ns=self.low_ns, end_ns=self.high_ns)

    def zoom(self, factor: float) -> Window:
        """More (factor > 1) or less of a close-up. The cursor stays where it is on the screen."""
        length = self._length(self.length_ns / factor)
        ahead = (self.cursor_ns - self.start_ns) * length // max(1, self.length_ns)
        return self._placed(self.cursor_ns - ahead, length)

    def fit(self, start_ns: int, end_ns: int, part: float = 0.5) -> Window:
        """What lies there takes about this part of the view, in its middle, the cursor on it."""
        middle = (start_ns + end_ns) // 2
        length = self._length((end_ns - start_ns) / part)
        return replace(self._placed(middle - length // 2, length), cursor_ns=self._inside(middle))

    def pan(self, part: float) -> Window:
        """To the side by a part of the view; the cursor goes along."""
        by = round(self.length_ns * part)
        moved = self._placed(self.start_ns + by, self.length_ns)
        return replace(moved, cursor_ns=self._inside(self.cursor_ns + moved.start_ns - self.start_ns))

    def move(self, columns: int, width: int) -> Window:
        """The cursor by columns; the view follows where it leaves it."""
        column = self.column(width) + columns
        begin = self.start_ns + self.length_ns * column // width
        after = self.start_ns + self.length_ns * (column + 1) // width
        return self.at((begin + after) // 2)

    def at(self, at_ns: int) -> Window:
        """The cursor there, in the middle of the view where it was out of it."""
        at_ns = self._inside(at_ns)
        if self.start_ns <= at_ns < self.end_ns:
            return replace(self, cursor_ns=at_ns)
        near = min(self.length_ns // 8, self.length_ns // 2)
        start = at_ns - near if at_ns >= self.end_ns else at_ns - self.length_ns + near
        if not self.start_ns - self.length_ns <= at_ns < self.end_ns + self.length_ns:
            start = at_ns - self.length_ns // 2
        return replace(self._placed(start, self.length_ns), cursor_ns=at_ns)

    def column(self, width: int) -> int:
        """The column of the screen that holds the cursor."""
        return column_of(self.cursor_ns, self.start_ns, self.length_ns, width)

    def column_ns(self, width: int) -> tuple[int, int]:
        """What time the cursor's column stands for."""
        column = self.column(width)
        begin = self.start_ns + self.length_ns * column // width
        return begin, max(begin + 1, self.start_ns + self.length_ns * (column + 1) // width)

    def _length(self, wanted: float) -> int:
        return max(min(LEAST_NS, self.high_ns - self.low_ns), min(self.high_ns - self.low_ns, round(wanted)))

    def _inside(self, at_ns: int) -> int:
        return max(self.low_ns, min(self.high_ns - 1, at_ns))

    def _placed(self, start_ns: int, length: int) -> Window:
        start = max(self.low_ns, min(self.high_ns - length, start_ns))
        cursor = max(start, min(start + length - 1, self.cursor_ns))
        return replace(self, start_ns=start, end_ns=start + length, cursor_ns=cursor)
