"""Rows: everything a diagnosis says of one GPU or MIG instance, side by side."""

from __future__ import annotations

import msgspec

from advisor.document import DeviceProvenance, Diagnosis, Observed
from rules.compare.records import Side
from rules.finding import Finding, LadderRow
from rules.serving import ServingFigures
from rules.verdict import Verdict
from rules.whatif import WhatIf


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One device of one diagnosis. ladder, provenance, observed: None where the document has none.

    serving: engines that are known to run on it; one whose devices are not known is nobody's.
    """

    verdict: Verdict
    ladder: LadderRow | None
    provenance: DeviceProvenance | None
    observed: Observed | None
    findings: tuple[Finding, ...]
    what_ifs: tuple[WhatIf, ...]
    serving: tuple[ServingFigures, ...]

    @property
    def key(self) -> str:
        """UUID of the GPU or MIG instance."""
        return self.verdict.key

    @property
    def profile(self) -> str | None:
        """MIG profile without the instance's number: "1g.10gb" of "1g.10gb/7"."""
        return None if self.verdict.mig is None else self.verdict.mig.partition("/")[0]

    @property
    def workload(self) -> str | None:
        """Name of the program with the most memory."""
        return None if self.verdict.workload is None else self.verdict.workload.name


def rows_of(diagnosis: Diagnosis) -> list[Row]:
    """The document's rows in their order; of two with one key the first counts."""
    verdicts: dict[str, Verdict] = {}
    for verdict in diagnosis.verdicts:
        verdicts.setdefault(verdict.key, verdict)
    ladder = {row.key: row for row in reversed(diagnosis.ladder)}
    seen = {p.key: p for p in reversed(diagnosis.provenance.devices)}
    observed = {o.key: o for o in reversed(diagnosis.observed)}
    return [
        Row(
            verdict=verdict,
            ladder=ladder.get(key),
            provenance=seen.get(key),
            observed=observed.get(key),
            findings=tuple(f for f in diagnosis.findings if f.key == key),
            what_ifs=tuple(w for w in diagnosis.what_ifs if w.key == key),
            serving=tuple(s for s in diagnosis.serving if key in s.keys),
        )
        for key, verdict in verdicts.items()
    ]


def side(row: Row) -> Side:
    """A row as the comparison names it."""
    v = row.verdict
    return Side(
        key=v.key,
        gpu=v.gpu,
        mig=v.mig,
        device_name=v.device_name,
        class_=v.class_,
        cause=v.cause,
        confidence=v.confidence,
        workload=row.workload,
        headline=v.headline,
        observed_s=None if row.provenance is None else row.provenance.observed_s,
        price_usd_h=None if row.ladder is None else row.ladder.price_usd_h,
        price_source="" if row.ladder is None else row.ladder.price_source,
    )
