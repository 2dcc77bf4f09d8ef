"""Answers of `advisor whatif`, as aligned text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from advisor.asked import Answers, FixPage, RowAnswers
from advisor.reports.common import CELL, SENTENCE, Style
from advisor.reports.escape import as_ascii, terminal
from advisor.reports.figures import usd
from advisor.reports.whatifs import (
    OTHER_HOST,
    SURE_SPENDS,
    WORTH,
    cost,
    expect,
    facts,
    is_empty,
    moves,
    per_mtok,
    times,
    watts,
)
from rules.whatif import WhatIf

MIN_WIDTH, MAX_WIDTH = 60, 140
GAP = "  "
STYLE = Style(terminal, lambda raw: f"`{terminal(raw)}`")
# Columns of the table that a narrow terminal does without: power, then dollars a token.
_GIVE_WAY = (4, 3)
_BASES = (
    "measured: ratios measured on this very card; anchor: published figures; assumption: nothing better. "
    "$/h is what today's work would cost an hour, at both ends of the range."
)


def as_text(found: Answers, *, width: int, unicode: bool = True) -> str:
    """The answers in lines of at most `width` columns (60 to 140)."""
    width = min(MAX_WIDTH, max(MIN_WIDTH, width))
    lines = ["SYNTHETIC DATA: no GPU produced these figures.", ""] if found.synthetic else []
    for i, row in enumerate(found.rows):
        lines += ["", *_row(row, found, width)] if i else _row(row, found, width)
    lines += ["", *_wrapped(_foot(found), width)]
    text = "\n".join(line.rstrip() for line in lines) + "\n"
    return text if unicode else as_ascii(text)


def _foot(found: Answers) -> str:
    told = [one for row in found.rows for one in row.what_ifs if one.refused is None and not is_empty(one)]
    said = [_BASES if told else ""]
    said += [WORTH] if any(one.usd_h_low is not None for one in told) else []
    return " ".join([*said, *([OTHER_HOST] if moves(told) and not found.fixes else [])])


def _row(row: RowAnswers, found: Answers, width: int) -> list[str]:
    head = _wrapped(STYLE.text(row.headline, SENTENCE), width)
    head += _wrapped(_price(row), width)
    if found.fixes:
        return [*head, *(line for one in row.what_ifs for line in _one(one, width))]
    told = [one for one in row.what_ifs if one.refused is None]
    refused = [one for one in row.what_ifs if one.refused is not None]
    body = _table(told, width) if told else ["  no fix known here would change its speed or its cost"]
    if refused:
        body += ["  cannot be said, because:"]
        body += [line for one in refused for line in _entry(one.fix, STYLE.prose(one.refused or ""), width)]
    return [*head, *body]


def _price(row: RowAnswers) -> str:
    if row.price_usd_h is None:
        return "No price is known: these are factors of throughput without dollars."
    return f"{usd(row.price_usd_h)}/h now: {STYLE.text(row.price_source, CELL)}"


def _table(found: Sequence[WhatIf], width: int) -> list[str]:
    heads = ["fix", "throughput", "$/h after", "$/M tokens", "power", "basis"]
    cells = [
        [one.fix, times(one), cost(one).replace("$", ""), per_mtok(one), watts(one), one.basis]
        for one in found
    ]
    used = [i for i in range(len(heads)) if any(row[i] for row in cells)]
    sizes = {i: max(len(heads[i]), *(len(row[i]) for row in cells)) for i in used}
    for column in _GIVE_WAY:
        if _lead(used, sizes) > width:
            used = [i for i in used if i != column]
    lead = _lead(used, sizes)
    beside = width - lead >= 24
    lines = [_aligned(heads, used, sizes) + ("what" if beside else "")]
    for one, row in zip(found, cells, strict=True):
        first = _aligned(row, used, sizes)
        said = _wrapped(one.title, width - lead) if beside else []
        lines.append(first + (said[0] if said else ""))
        lines += [" " * lead + more for more in said[1:]]
        lines += [] if beside else [f"    {line}" for line in _wrapped(one.title, width - 4)]
    return lines


def _lead(used: Sequence[int], sizes: dict[int, int]) -> int:
    return 2 + sum(sizes[i] + len(GAP) for i in used)


def _aligned(row: Sequence[str], used: Sequence[int], sizes: dict[int, int]) -> str:
    cells = (row[i].ljust(sizes[i]) if i in (0, 5) else row[i].rjust(sizes[i]) for i in used)
    return "  " + "".join(cell + GAP for cell in cells)


def _one(one: WhatIf, width: int) -> list[str]:
    """One answer with everything that it rests on."""
    if is_empty(one):
        why = one.effect.basis if one.effect is not None else ""
        return ["", *_wrapped(f"{one.title} ({one.fix}): no gain, {STYLE.prose(why, SENTENCE)}", width)]
    lines = ["", *_wrapped(f"{one.title} ({one.fix})", width)]
    if one.refused is not None:
        return lines + _entry("unknown", f"because {STYLE.prose(one.refused, 3 * SENTENCE)}", width)
    lines += _entry("Expect", expect(one), width)
    if one.usd_h_low is not None and one.price_usd_h is not None:
        said = f": {one.spend}" if one.spend in SURE_SPENDS else ""
        lines += _entry("Cost", f"{cost(one)} an hour for today's {usd(one.price_usd_h)}{said}", width)
    return lines + [line for name, text in facts(one, STYLE) for line in _entry(name, text, width)]


def _entry(name: str, text: str, width: int) -> list[str]:
    lead = max(12, 4 + len(name))
    first, *rest = _wrapped(text, width - lead) or [""]
    return [f"  {name}".ljust(lead) + first, *(" " * lead + line for line in rest)]


def list_text(found: Sequence[FixPage], *, width: int, unicode: bool = True) -> str:
    """Every fix: its name, what it does, and which findings it answers."""
    width = min(MAX_WIDTH, max(MIN_WIDTH, width))
    lead = max(len(each.fix) for each in found) + 2
    lines: list[str] = []
    for each in found:
        said = [f"{each.title}. {each.page.partition(chr(10))[0]}"]
        said += [f"Answers {', '.join(each.codes)}."] if each.codes else []
        first, *rest = [line for text in said for line in _wrapped(text, width - lead)]
        lines += [each.fix.ljust(lead) + first, *(" " * lead + line for line in rest)]
    text = "\n".join(lines) + "\n"
    return text if unicode else as_ascii(text)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(20, width), break_on_hyphens=False)
