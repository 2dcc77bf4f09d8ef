"""What every report says, in the order it says it; how it looks is each format's own business.

Untrusted text (names, claims, commands) goes through a `Style` the moment it is read, cut to a length
first, so that no cut falls inside an escape. Figures and words of our own are not escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from advisor.document import Diagnosis
from rules import engine
from rules.finding import Finding, LadderRow
from rules.ladder import wasted
from rules.verdict import Verdict

CELL = 160
SENTENCE = 400
PARAGRAPH = 900

_CODE_SPAN = re.compile(r"(`[^`]+`)")
_NOT_ANSWERING = frozenset({"gpu-lost", "driver-silent"})


class Style(msgspec.Struct, frozen=True):
    """How one format shows untrusted text: inline, and as code."""

    escape: Callable[[str], str]
    escape_code: Callable[[str], str]

    def text(self, raw: str, limit: int = CELL) -> str:
        """Inline text of at most `limit` characters once it is escaped."""
        return bounded(self.escape, raw, limit)

    def code(self, raw: str, limit: int = SENTENCE) -> str:
        """Inline code of at most `limit` characters once it is escaped."""
        return bounded(self.escape_code, raw, limit)

    def prose(self, raw: str, limit: int = PARAGRAPH) -> str:
        """A sentence or two in which `backticks` mark code."""
        return bounded(self._spans, raw, limit)

    def _spans(self, raw: str) -> str:
        return "".join(self._span(part) for part in _CODE_SPAN.split(raw))

    def _span(self, part: str) -> str:
        if _CODE_SPAN.fullmatch(part):
            return self.escape_code(part[1:-1])
        body = part.strip()
        before, _, after = part.partition(body) if body else (part[:1], "", "")
        return f"{' ' if before else ''}{self.escape(body)}{' ' if after else ''}"


def bounded(escape: Callable[[str], str], raw: str, limit: int) -> str:
    """`escape` of the longest start of `raw` that fits into `limit` characters, marked where it was cut."""
    whole = raw[: limit + 1]
    if len(whole) <= limit and len(shown := escape(whole)) <= limit:
        return shown
    low, high = 0, min(len(raw), limit)
    while low < high:
        middle = (low + high + 1) // 2
        fits = len(escape(raw[:middle] + "…")) <= limit
        low, high = (middle, high) if fits else (low, middle - 1)
    return escape(raw[:low] + "…")


def width_of(text: str) -> int:
    """Length as trackers count it: UTF-16 units, so a character outside the basic plane counts twice."""
    return len(text) + sum(char > "\uffff" for char in text)


def row_name(gpu: int, mig: str | None, style: Style) -> str:
    """ "GPU 2", or "GPU 0 MIG 1g.10gb/7" for an instance."""
    return f"GPU {gpu} MIG {style.text(mig, 60)}" if mig else f"GPU {gpu}"


def is_node(diagnosis: Diagnosis) -> bool:
    """True when there is more than one row, so that totals are needed."""
    return max(len(diagnosis.verdicts), len(diagnosis.ladder)) > 1


def ranked(findings: Sequence[Finding]) -> list[Finding]:
    """A failing card first, then by dollars an hour; what contributes comes right after its primary."""
    return list(engine.ranked(findings))


def criticals(findings: Sequence[Finding]) -> int:
    """How many are critical: those are left out last."""
    return sum(finding.severity == "critical" for finding in findings)


def overlap(diagnosis: Diagnosis) -> str:
    """That several findings may claim the same money, where there are several on one device."""
    costly = [f.key for f in diagnosis.findings if f.share > 0 or f.usd_h]
    if len(costly) == len(set(costly)):
        return ""
    if any(f.usd_h for f in diagnosis.findings):
        return "Dollars of findings on one GPU may overlap; only the ladder sums to the bill."
    return "Shares of findings on one GPU may overlap; only the ladder sums to 100 %."


def rows_by_key(diagnosis: Diagnosis) -> dict[str, LadderRow]:
    """The ladder row of each device. A MIG GPU's unallocated part never hides an instance."""
    return {row.key: row for row in diagnosis.ladder}


def wasted_share(row: LadderRow) -> float:
    """The part of the row's time that was neither useful nor unknown."""
    return wasted(row.shares)


def worst(diagnosis: Diagnosis) -> Verdict | None:
    """The verdict to speak of first: of a card that is failing, then most dollars, then most time wasted."""
    rows = rows_by_key(diagnosis)
    failing = urgent_keys(diagnosis)

    def order(verdict: Verdict) -> tuple[int, float, float, int]:
        row = rows.get(verdict.key)
        urgency = len(failing) - failing.index(verdict.key) if verdict.key in failing else 0
        lost = (0.0, 0.0) if row is None else (row.wasted_usd_h or 0.0, wasted_share(row))
        return urgency, *lost, -verdict.gpu

    return max(diagnosis.verdicts, key=order, default=None)


def urgent_keys(diagnosis: Diagnosis) -> list[str]:
    """Devices with a critical finding, or that no longer answer, the most urgent first."""
    critical = [finding.key for finding in ranked(diagnosis.findings) if finding.severity == "critical"]
    silent = [v.key for v in diagnosis.verdicts if v.class_ == "unknown" and v.cause in _NOT_ANSWERING]
    return list(dict.fromkeys((*critical, *silent)))


def labels(diagnosis: Diagnosis, style: Style) -> list[str]:
    """What must be read before anything else: that data is synthetic, or is a replay."""
    found, said = marks(diagnosis), diagnosis.provenance.note
    return [*found, f"Note: {style.text(said, SENTENCE)}"] if found and said else found


def marks(diagnosis: Diagnosis) -> list[str]:
    """What the data is, where it is not what this node just did."""
    p = diagnosis.provenance
    found = []
    if p.synthetic:
        found.append("SYNTHETIC DATA: no GPU produced these figures.")
    if p.source == "demo":
        found.append("DEMO: the bundled recording, not this node.")
    if p.source == "replay":
        found.append("REPLAY: made from a recording, not from a live node.")
    return found
