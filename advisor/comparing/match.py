"""Which row of A is which of B: by UUID, else by index and model, else by workload, else the only ones."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Literal, NamedTuple

from advisor.comparing.rows import Row
from advisor.naming import Place, SeveralError, named

How = Literal["asked", "uuid", "index", "workload", "only"]


class MatchError(ValueError):
    """What was asked to be compared is not there. `fix` says what is."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


class Matched(NamedTuple):
    """A pair of rows, and what they have in common."""

    a: Row
    b: Row
    how: How


class Matching(NamedTuple):
    """The pairs in A's order, and what is left over on each side."""

    pairs: list[Matched]
    only_a: list[Row]
    only_b: list[Row]


def match(rows_a: Sequence[Row], rows_b: Sequence[Row]) -> Matching:
    """Every row with its counterpart. A way of telling them applies where it names one row on each side."""
    left_a, left_b = list(rows_a), list(rows_b)
    pairs: list[Matched] = []
    ways: tuple[tuple[How, Callable[[Row], Hashable]], ...] = (
        ("uuid", lambda row: row.key),
        ("index", lambda row: (row.verdict.gpu, row.verdict.mig, row.verdict.device_name)),
        ("workload", lambda row: row.workload),
    )
    for how, name in ways:
        found = _unique(left_a, left_b, name)
        pairs += [Matched(a, b, how) for a, b in found]
        left_a = [row for row in left_a if all(row is not a for a, _ in found)]
        left_b = [row for row in left_b if all(row is not b for _, b in found)]
    if len(left_a) == len(left_b) == 1:
        pairs.append(Matched(left_a.pop(), left_b.pop(), "only"))
    order = {row.key: i for i, row in enumerate(rows_a)}
    return Matching(sorted(pairs, key=lambda pair: order[pair.a.key]), left_a, left_b)


def _unique(
    rows_a: Sequence[Row], rows_b: Sequence[Row], name: Callable[[Row], Hashable]
) -> list[tuple[Row, Row]]:
    by_a, by_b = _by(rows_a, name), _by(rows_b, name)
    return [
        (found[0], by_b[key][0])
        for key, found in by_a.items()
        if key is not None and len(found) == 1 and len(by_b.get(key, ())) == 1
    ]


def _by(rows: Sequence[Row], name: Callable[[Row], Hashable]) -> dict[Hashable, list[Row]]:
    groups: dict[Hashable, list[Row]] = {}
    for row in rows:
        groups.setdefault(name(row), []).append(row)
    return groups


def match_asked(rows_a: Sequence[Row], rows_b: Sequence[Row], words: Sequence[str]) -> Matching:
    """Pairs as somebody asked for them, each "A_GPU=B_GPU" by index or by UUID. Raises MatchError."""
    pairs = [Matched(*_asked(word, rows_a, rows_b), "asked") for word in words]
    for which, keys in (("A", [p.a.key for p in pairs]), ("B", [p.b.key for p in pairs])):
        if len(keys) != len(set(keys)):
            raise MatchError(f"a GPU of {which} is matched twice", "name each GPU once")
    taken_a, taken_b = {p.a.key for p in pairs}, {p.b.key for p in pairs}
    only_a = [row for row in rows_a if row.key not in taken_a]
    return Matching(pairs, only_a, [row for row in rows_b if row.key not in taken_b])


def _asked(word: str, rows_a: Sequence[Row], rows_b: Sequence[Row]) -> tuple[Row, Row]:
    left, equals, right = word.partition("=")
    if not equals:
        raise MatchError(f"{word!r}: not a pair", "write A_GPU=B_GPU, such as 0=2")
    return row_named(left, rows_a, "A"), row_named(right, rows_b, "B")


def row_named(word: str, rows: Sequence[Row], which: str) -> Row:
    """The row with this index or UUID (its beginning is enough). Raises MatchError."""
    found = restrict(rows, word, which)
    if len(found) == 1:
        return found[0]
    raise MatchError(f"GPU {word.strip()!r} of {which} names several rows", _there(rows, which))


def restrict(rows: Sequence[Row], word: str, which: str) -> list[Row]:
    """Rows on the GPU with this index or UUID, all MIG instances of it included. Raises MatchError."""
    places = [Place(row.key, row.verdict.gpu, row.verdict.mig) for row in rows]
    try:
        found = named(word, places)
    except SeveralError as error:
        raise MatchError(f"GPU of {which}: {error}", _there(rows, which)) from error
    if not found:
        raise MatchError(f"GPU {word.strip()!r} of {which} is not there", _there(rows, which))
    return [row for row, place in zip(rows, places, strict=True) if place in found]


def _there(rows: Sequence[Row], which: str) -> str:
    there = ", ".join(f"{row.verdict.gpu} ({row.key})" for row in rows) or "none"
    return f"{which} has {there}"
