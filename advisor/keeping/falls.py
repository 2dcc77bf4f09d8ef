"""A live diagnosis says when a card's own ceilings fell: whatever it is compared with then is too low."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from advisor.document import Diagnosis, Flag
from advisor.keeping.runs import figures_of
from advisor.keeping.trends import ceiling_trends
from advisor.reports.figures import instant, percent
from probes.plain import title
from rules.trend import Trend

if TYPE_CHECKING:
    from advisor.store import Store
    from rules.verdict import Verdict


def with_falls(diagnosis: Diagnosis, store: Store) -> Diagnosis:
    """The document with a flag `ceiling-degraded` for each device whose stored ceilings fell.

    Reads the ceilings' store alone. What cannot be read there costs the flags and nothing else.
    """
    try:
        found = [flag for verdict in diagnosis.verdicts if (flag := _flag(verdict, store)) is not None]
    except (OSError, ValueError):  # a damaged past must not cost the present, and the store has warned by now
        return diagnosis
    return msgspec.structs.replace(diagnosis, flags=(*diagnosis.flags, *found)) if found else diagnosis


def _flag(verdict: Verdict, store: Store) -> Flag | None:
    figures = [figure for report in store.history(verdict.key) for figure in figures_of(report)]
    fallen = [trend for trend in ceiling_trends(figures) if trend.fall is not None]
    if not fallen:
        return None
    name = f"GPU {verdict.gpu}" + (f" MIG {verdict.mig}" if verdict.mig else "")
    said = "; ".join(filter(None, map(_said, fallen)))
    more = f"`advisor history --trends --gpu {verdict.key}` says what else changed"
    message = f"{name}: below what this card itself could do: {said}; {more}"
    return Flag(code="ceiling-degraded", message=message, key=verdict.key)


def _said(trend: Trend) -> str:
    fall = trend.fall
    if fall is None:
        return ""
    since = instant(fall.since_s)[:10]
    return f"{title(trend.metric)} at {percent(fall.of_best)} of its best since {since}"
