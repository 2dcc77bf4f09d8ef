"""Events that no analysis reads are left out before anything is decoded: flows, instants, Python frames.

A text is split where `},{"ph":` stands, in the file's own spacing. What lies between two such places is left
out only if it is one whole object. Everything else stays in, so that nothing is lost in silence.
"""

from __future__ import annotations

import re
from collections import Counter

import msgspec

from advisor.traces.kineto.records import PASSED
from rules.traces.host_names import HostRole, host_role

_SEPARATOR = re.compile(rb'\s*\}\s*,\s*\{\s*"ph"\s*:\s*(?=")')
_OPENING = re.compile(rb'\{\s*"ph"\s*:\s*(?=")')
_PYTHON = re.compile(rb'"X"\s*,\s*"cat"\s*:\s*"python_function"\s*,\s*"name"\s*:\s*"')
_DROPPED = {b'"' + phase.encode() + b'"': kind for phase, kind in PASSED.items()}
_MOST_NAMES = 200_000
_LONGEST_NAME = 1024


class _Object(msgspec.Struct, gc=False, frozen=True):
    """Any object."""


_objects = msgspec.json.Decoder(list[_Object])


class _Told(dict[bytes, bool]):
    """Names of Python frames -> whether they tell nothing of what the host does."""

    def __missing__(self, name: bytes) -> bool:
        if len(self) > _MOST_NAMES:
            self.clear()
        # A backslash at the end: the name goes on behind an escaped quote.
        nothing = not name.endswith(b"\\") and host_role(name.decode("utf-8", "replace")) == HostRole.OTHER
        if len(name) <= _LONGEST_NAME:
            self[name] = nothing
        return nothing


_nothing = _Told()


def sieved(text: bytes) -> tuple[bytes, Counter[str]]:
    """The events of `text` (objects with commas between) without those not read, and how many were left out.

    The text is returned as it is where its spacing is not understood. What is left out is whole: of damaged
    text everything stays in, for its decoder to tell what is lost.
    """
    out: Counter[str] = Counter()
    opening, separator = _OPENING.match(text), _SEPARATOR.search(text)
    if not opening or not separator or not text.endswith(b"}"):
        return text, out
    between = separator[0]
    pieces = text[opening.end() : -1].rstrip().split(between)
    python = _PYTHON.search(text)
    begun = python[0] if python else b"\x00"
    kept, left = _apart(pieces, begun)
    if not _whole(left, opening[0]):
        left = [piece for piece in left if _whole([piece], opening[0])]
        kept = _others(pieces, left)
    for phase, count in Counter(piece[:3] for piece in left).items():
        out[_DROPPED.get(phase, "python_function")] += count
    return (opening[0] + between.join(kept) + b"}" if kept else b""), out


def _apart(pieces: list[bytes], python: bytes) -> tuple[list[bytes], list[bytes]]:
    """Pieces that stay, and those left out; `python` is how Python frames begin, up to the name."""
    kept: list[bytes] = []
    left: list[bytes] = []
    keep, leave, at, nothing, dropped = kept.append, left.append, len(python), _nothing, _DROPPED
    for piece in pieces:  # the one loop over every event of a file: nothing in it is called needlessly
        if piece[:3] in dropped or (piece.startswith(python) and nothing[piece[at : piece.find(b'"', at)]]):
            leave(piece)
        else:
            keep(piece)
    return kept, left


def _others(pieces: list[bytes], left: list[bytes]) -> list[bytes]:
    out = set(left)
    return [piece for piece in pieces if piece not in out]


def _whole(pieces: list[bytes], opening: bytes) -> bool:
    """Whether each piece is one object, once its braces are there again."""
    text = opening + (b"}," + opening).join(pieces) + b"}"
    try:
        return not pieces or len(_objects.decode(b"[" + text + b"]")) == len(pieces)
    except (msgspec.MsgspecError, RecursionError):
        return False
