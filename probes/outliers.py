"""Which GPU of a node falls behind its siblings: same model, same MIG profile, same figures."""

from __future__ import annotations

import math
from collections.abc import Sequence

from probes.derive import alike
from probes.metrics import METRICS
from probes.record import Measurement, Outlier, ProbeReport
from probes.stats import quantile

# Fraction of its siblings' median below which a GPU falls behind, by probe. Only what the card itself sets
# is compared: launch costs and the host's memory differ by socket.
#
# tensor: silicon spreads by 5 % and more within one healthy node, so about 2.5 % to either side of the
# median; gpu-fryer flags 10 % below a node's best, which is about 7.5 % below its median. 5 % lies between.
# bandwidth: memory clocks are fixed, and runs repeat within 1 %: three times that.
# transfer: links of two sockets differ by a few percent; a link that came up with half its lanes reads 0.5.
BEHIND = {"tensor": 0.95, "bandwidth": 0.97, "transfer": 0.90}
# What the host does in these is no matter of the card.
_OF_THE_HOST = frozenset({"h2d_pageable", "d2h_pageable", "h2d_numa_local", "h2d_numa_remote"})
# With two GPUs one is lower, and nothing says which of them is unusual.
_TELLING = 3


def outliers(reports: Sequence[ProbeReport]) -> tuple[Outlier, ...]:
    """GPUs that fall behind the median of their siblings (same model, same MIG profile), the worst first.

    One record a GPU and probe: its worst metric. Of two siblings the lower one is named, and that two
    cannot tell. Degraded figures count, for they are what is looked for; contended ones do not.
    """
    found = [outlier for group in _siblings(reports) for outlier in _behind(group)]
    return tuple(sorted(found, key=lambda o: (o.frac, o.key, o.metric)))


def _siblings(reports: Sequence[ProbeReport]) -> list[list[ProbeReport]]:
    groups: dict[tuple[str | None, ...], list[ProbeReport]] = {}
    for report in reports:
        d = report.device
        if d.kind == "cuda" and report.contended is None:
            groups.setdefault((d.model or d.name, d.mig_profile), []).append(report)
    return [group for group in groups.values() if len({r.device.key for r in group}) > 1]


def _behind(group: Sequence[ProbeReport]) -> list[Outlier]:
    worst: dict[tuple[str, str], Outlier] = {}
    for metric in METRICS.values():
        if metric.probe not in BEHIND or metric.name in _OF_THE_HOST:
            continue
        figures = _figures(group, metric.name)
        for key, own in figures.items():
            others = [figure for other, figure in figures.items() if other != key]
            frac = own / quantile(others, 0.5) if others else 1.0
            known = worst.get((key, metric.probe))
            if frac < BEHIND[metric.probe] and (known is None or frac < known.frac):
                worst[key, metric.probe] = _outlier(group, list(figures), key, metric.name, frac)
    return list(worst.values())


def _figures(group: Sequence[ProbeReport], metric: str) -> dict[str, float]:
    """Key -> figure of the GPUs that have one to compare."""
    takes = {r.device.key: m for r in group if (m := r.measurement(metric)) is not None and _counts(m)}
    return dict(zip(takes, alike(list(takes.values())), strict=True))


def _counts(m: Measurement) -> bool:
    return m.label == "measured" and m.valid in ("valid", "degraded") and 0.0 < (m.value or 0.0) < math.inf


def _outlier(
    group: Sequence[ProbeReport], keys: Sequence[str], key: str, metric: str, frac: float
) -> Outlier:
    reports = {r.device.key: r for r in group}
    d = reports[key].device
    said = f"{_called(reports[key])} reaches {frac * 100:.0f} % of "
    if len(keys) < _TELLING:
        other = next(reports[k] for k in keys if k != key)
        said += f"{_called(other)}'s {metric}; two cannot tell which of them is unusual"
    else:
        said += f"its siblings' {metric}"
    return Outlier(key=d.key, index=d.index, metric=metric, frac=frac, message=said)


def _called(report: ProbeReport) -> str:
    """ "GPU 5", or "GPU 5 MIG 1g.10gb" for an instance."""
    d = report.device
    name = d.key if d.index is None else f"GPU {d.index}"
    return f"{name} MIG {d.mig_profile}" if d.mig_profile else name
