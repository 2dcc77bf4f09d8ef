"""Events that no analysis reads are left out before anything is decoded: flows, instants, Python frames.

A text is split where `},{"ph":` stands, in the file's own spacing. What lies between two such places is one
event only if no other object can be in it: it opens no brace, or one (its args) and ends by closing it.
Everything else stays in, so that nothing is lost whatever the file looks like.
"""

from __future__ import annotations

import re
from collections import Counter

from advisor.traces.kineto.records import PASSED
from rules.traces.host_names import HostRole, host_role

_SEPARATOR = re.compile(rb'\s*\}\s*,\s*\{\s*"ph"\s*:\s*(?=")')
_OPENING = re.compile(rb'\{\s*"ph"\s*:\s*(?=")')
_PYTHON = re.compile(rb'"X"\s*,\s*"cat"\s*:\s*"python_function"\s*,\s*"name"\s*:\s*"')
_DROPPED = {b'"' + phase.encode() + b'"': kind for phase, kind in PASSED.items()}
_MOST_NAMES = 200_000


class _Told(dict[bytes, bool]):
    """Names of Python frames -> whether they tell nothing of what the host does."""

    def __missing__(self, name: bytes) -> bool:
        if len(self) > _MOST_NAMES:
            self.clear()
        # A backslash at the end: the name goes on behind an escaped quote.
        nothing = not name.endswith(b"\\") and host_role(name.decode("utf-8", "replace")) == HostRole.OTHER
        self[name] = nothing
        return nothing


_nothing = _Told()


def sieved(text: bytes) -> tuple[bytes, Counter[str]]:
    """The events of `text` (objects with commas between) without those not read, and how many were left out.

    The text is returned as it is where its spacing is not understood.
    """
    out: Counter[str] = Counter()
    opening, separator = _OPENING.match(text), _SEPARATOR.search(text)
    if not opening or not separator or not text.endswith(b"}"):
        return text, out
    between = separator[0]
    pieces = text[opening.end() : -1].rstrip().split(between)
    python = _PYTHON.search(text)
    kept = _without(pieces, python[0] if python else b"\x00", out)
    return (opening[0] + between.join(kept) + b"}" if kept else b""), out


def _without(pieces: list[bytes], python: bytes, out: Counter[str]) -> list[bytes]:
    """Pieces that stay; `python` is how Python frames begin, up to the name."""
    kept, at, nothing, dropped = [], len(python), _nothing, _DROPPED
    frames = 0
    for piece in pieces:  # the one loop over every event of a file: nothing in it is called needlessly
        if piece[:3] in dropped:
            kind = dropped[piece[:3]]
        elif piece.startswith(python) and nothing[piece[at : piece.find(b'"', at)]]:
            kind = ""
        else:
            kept.append(piece)
            continue
        braces = piece.count(b"{")
        if braces > 1 or (braces and not piece.endswith(b"}")):
            kept.append(piece)
        elif kind:
            out[kind] += 1
        else:
            frames += 1
    if frames:
        out["python_function"] += frames
    return kept
