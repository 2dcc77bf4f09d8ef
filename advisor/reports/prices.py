"""The price list as text: rows by model, what speaks against them, and which price is in force."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from textwrap import wrap

from advisor.price_list import ModelPrice, Offer, PriceList
from advisor.prices import Candidate
from advisor.reports.escape import terminal

# Columns but that of the instance, which takes what is left.
_PROVIDER, _REGION, _DOLLARS, _HOST, _CATALOGUE = 13, 12, 9, 5, 11
_FIXED = 2 + _PROVIDER + _REGION + 2 * _DOLLARS + _HOST + _CATALOGUE
_INSTANCE_MIN, _INSTANCE_MAX = 12, 36
# Told once for the whole table, below it.
_TOLD_BELOW = "date-unknown"


def as_text(found: PriceList, columns: int) -> str:
    """The list within `columns`, as text that is safe on a terminal: what is in force, then the table."""
    told = "".join(_filled(f"warning: {text}", "", columns) for text in found.warnings)
    parts = [_models(found, columns), told, _table(found.rows, columns), _flags(found, columns)]
    return "\n".join(part for part in parts if part)


def _table(rows: Sequence[Offer], columns: int) -> str:
    if not rows:
        return "No row of the bundled table is for this.\n"
    room = max(_INSTANCE_MIN, min(_INSTANCE_MAX, columns - _FIXED - 1))
    heads = ("  provider", "instance", "region", "on-demand", "spot", "host", "catalogue")
    lines = [f"Dollars per GPU and hour, {len(rows)} rows\n", _line(heads, room)]
    for name, group in groupby(rows, key=lambda row: row.accelerator):
        lines.append(f"{terminal(name)}\n")
        lines += [text for row in group for text in _row(row, room)]
    return "".join(lines)


def _row(row: Offer, room: int) -> Iterator[str]:
    spot = "–" if row.spot_usd_h is None else _usd(row.spot_usd_h)
    dated = row.commit[:7] if row.date == "unknown" else row.date
    host = "incl" if row.host_included else "excl"
    cells = (f"  {row.provider}", row.instance, row.region, _usd(row.on_demand_usd_h), spot, host, dated)
    yield _line(
        [terminal(cell) if i else f"  {terminal(row.provider)}" for i, cell in enumerate(cells)], room
    )
    shown = [code for code in row.flags if code != _TOLD_BELOW]
    if shown:
        yield f"      ! {', '.join(shown)}{_unused(row)}\n"


def _unused(row: Offer) -> str:
    """Which of its figures no default is made from, for being flagged."""
    given = ["on-demand", *(["spot"] if row.spot_usd_h is not None else [])]
    lost = [figure for figure in given if figure not in row.usable]
    return f": {' and '.join(lost)} never used" if lost else ""


def _line(cells: Sequence[str], room: int) -> str:
    provider, instance, region, on_demand, spot, host, catalogue = cells
    text = f"{_cut(provider, _PROVIDER + 1)} {_cut(instance, room)} {_cut(region, _REGION - 1)}"
    figures = f"{on_demand:>{_DOLLARS}} {spot:>{_DOLLARS - 1}}  {host:<{_HOST}}{catalogue}"
    return f"{text}{figures}".rstrip() + "\n"


def _cut(text: str, room: int) -> str:
    return text.ljust(room) if len(text) <= room else text[: room - 1] + "…"


def _usd(figure: float) -> str:
    return f"${figure:,.4f}".removesuffix("00")


def _flags(found: PriceList, columns: int) -> str:
    shown = {code: meaning for code, meaning in found.flags.items() if code != _TOLD_BELOW}
    return "".join(_filled(f"{code}: {meaning}", "! ", columns) for code, meaning in shown.items())


def _models(found: PriceList, columns: int) -> str:
    if not found.models:
        said = "In force: no GPU is seen on this node; --gpu MODEL says it for one that is named"
        return _filled(said, "", columns)
    lines = ["In force on this node, for a whole GPU\n"]
    for one in found.models:
        lines += _model(one, columns)
    return "".join(lines)


def _model(one: ModelPrice, columns: int) -> Iterator[str]:
    usd_h = one.price.usd_h
    price = "" if usd_h is None else f"{_usd(usd_h)}/h ({one.price.basis}), "
    where = f"GPU {', '.join(map(str, one.gpus))}: " if one.gpus else ""
    yield _filled(f"{where}{one.model}: {price}{one.price.source}", "  ", columns)
    for note in one.price.notes:
        yield _filled(f"note: {note}", "    ", columns)
    before = "; ".join(f"{place.place}: {place.why}" for place in _until_found(one))
    if before:
        yield _filled(f"asked before: {before}", "    ", columns)


def _until_found(one: ModelPrice) -> Iterator[Candidate]:
    for place in one.asked:
        if place.price is not None:
            return
        yield place


def _filled(text: str, indent: str, columns: int) -> str:
    lines = wrap(
        terminal(text),
        width=columns,
        initial_indent=indent,
        subsequent_indent=" " * (len(indent) + 2),
        break_on_hyphens=False,
    )
    return "".join(f"{line}\n" for line in lines)
