"""Diagnosis: from tracks to the one document, with provenance, totals and validity flags."""

from __future__ import annotations

import datetime
import math
import platform
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

from advisor import __version__
from advisor.bills import with_bills
from advisor.document import DeviceProvenance, Diagnosis, Flag, Observed, Provenance, TimeSeries, Totals
from advisor.slices import price_share
from advisor.telemetry.records import DeviceInfo, Hello, Sample
from advisor.windows import quantile, settled
from probes.ceilings import Ceilings
from rules.engine import Result, ranked
from rules.evidence import Evidence
from rules.finding import TERMS, LadderRow, Price
from rules.ladder import priced_row, wasted
from rules.power import ElectricityRates, electricity
from rules.trust import exceeded

Source = Literal["live", "replay", "demo", "run", "trace"]

SHORT_WINDOW_S = 5.0
# A part of a MIG GPU smaller than this is rounding in the slice sizes, not an unallocated slice.
MIN_REMAINDER = 0.01


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One diagnosed device: what went in, how it was observed, and what the rules said.

    series: the window over time, for a document that is kept; None for one that a screen draws.
    """

    info: DeviceInfo
    evidence: Evidence
    ceilings: Ceilings | None
    price: Price
    provenance: DeviceProvenance
    result: Result
    series: TimeSeries | None = None


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What the document says of how it was made.

    keep_observed: with what its conclusions were reached from, and bills; a screen needs neither each second.
    """

    source: Source
    t_start_s: float
    t_end_s: float
    command: str = ""
    note: str = ""
    watch_cost_frac: float | None = None
    clock_step: bool = False
    keep_observed: bool = False


def build(
    hello: Hello, rows: Sequence[Row], remainders: Sequence[LadderRow], how: Circumstances
) -> Diagnosis:
    """The document of a node. `remainders` are the unallocated parts of GPUs split by MIG."""
    ladder = [row.result.ladder for row in rows] + list(remainders)
    document = Diagnosis(
        provenance=provenance(hello, rows, how),
        verdicts=tuple(row.result.verdict for row in rows),
        ladder=tuple(sorted(ladder, key=lambda r: (r.gpu, r.mig or ""))),
        findings=ranked([f for row in rows for f in row.result.findings]),
        totals=totals(ladder),
        flags=tuple(flags(hello, rows, how)),
        observed=tuple(observed(row) for row in rows) if how.keep_observed else (),
    )
    return with_bills(document) if how.keep_observed else document


def observed(row: Row) -> Observed:
    """What a row's conclusions were reached from, without what only the verdict itself needs."""
    host = msgspec.structs.replace(row.evidence.host, stacks=None)
    return Observed(
        key=row.evidence.key,
        evidence=msgspec.structs.replace(row.evidence, windows=(), host=host),
        ceilings=row.ceilings,
        price=row.price,
        series=row.series,
    )


def totals(ladder: Sequence[LadderRow]) -> Totals:
    """Sums over the rows that have a price; None when none has."""
    priced = [row for row in ladder if row.price_usd_h is not None and row.terms is not None]
    unpriced = len(ladder) - len(priced)
    if not priced:
        return Totals(price_usd_h=None, wasted_usd_h=None, unpriced=unpriced)
    terms = {name: math.fsum((row.terms or {}).get(name, 0.0) for row in priced) for name in TERMS}
    return Totals(
        price_usd_h=math.fsum(row.price_usd_h or 0.0 for row in priced),
        wasted_usd_h=wasted(terms),
        terms=terms,
        unpriced=unpriced,
    )


def remainder(parent: DeviceInfo, instances: Sequence[DeviceInfo], price: Price) -> LadderRow | None:
    """The free part of a GPU split by MIG, so that the ladder sums to the bill; None when all is allotted."""
    taken = [price_share(i, parent) for i in instances]
    free = 1.0 - math.fsum(share or 0.0 for share in taken)
    if free < MIN_REMAINDER or None in taken:
        return None
    shares = {name: 1.0 if name == "free" else 0.0 for name in TERMS}
    return priced_row(parent.key, parent.index, "unallocated", shares, price, free)


def remainders(
    parents: Iterable[DeviceInfo], instances: Sequence[DeviceInfo], price_of: Callable[[DeviceInfo], Price]
) -> list[LadderRow]:
    """The free parts of these GPUs, all of which are split by MIG."""
    found = []
    for parent in parents:
        mine = [instance for instance in instances if instance.parent_key == parent.key]
        found.append(remainder(parent, mine, price_of(parent)))
    return [row for row in found if row is not None]


def provenance(hello: Hello, rows: Sequence[Row], how: Circumstances) -> Provenance:
    """Where, when and how the figures were made."""
    return Provenance(
        advisor_version=__version__,
        created=iso(how.t_end_s),
        source=how.source,
        host=hello.host.host,
        t_start_s=how.t_start_s,
        t_end_s=how.t_end_s,
        interval_s=hello.interval_s,
        gpm_interval_s=hello.gpm_interval_s,
        driver_version=hello.driver_version,
        cuda_version=hello.cuda_version,
        pynvml_version=hello.pynvml_version,
        python_version=hello.host.python or platform.python_version(),
        cores=hello.host.cores,
        command=how.command,
        note=how.note or hello.note,
        synthetic=hello.synthetic,
        watch_cost_frac=how.watch_cost_frac,
        devices=tuple(row.provenance for row in rows),
        redacted=hello.redacted,
        unknown=dict(hello.host.missing),
    )


def iso(t_s: float) -> str:
    """Unix time as ISO 8601 in UTC, to the second."""
    return datetime.datetime.fromtimestamp(t_s, datetime.UTC).isoformat(timespec="seconds")


def _unseen_inside(e: Evidence) -> dict[str, str]:
    """Why a look inside the process, where one was asked for, showed less than it could."""
    stacks = e.host.stacks
    return {"stacks": stacks.missing} if stacks is not None and stacks.missing else {}


def device_provenance(
    info: DeviceInfo,
    e: Evidence,
    ceilings: Ceilings | None,
    samples: Sequence[Sample],
    rates: ElectricityRates | None = None,
) -> DeviceProvenance:
    """How one row was observed. rates: what electricity costs there; None leaves that figure out."""
    last = samples[-1] if samples else None
    return DeviceProvenance(
        key=e.key,
        gpu=e.gpu,
        name=e.device.name,
        mig=e.mig,
        tier=e.tier,
        windows=len(e.windows),
        observed_s=sum(w.duration_s for w in e.windows if not w.lost),
        ceilings_label=ceilings.label if ceilings else None,
        ceilings_model=ceilings.model if ceilings else None,
        ceilings_measured=_measured(ceilings),
        ceilings_stale=ceilings.stale if ceilings else None,
        power_limit_w=e.device.power_limit_w,
        power_w_p50=e.power_w_p50,
        power_w_p90=e.power_w_p90,
        power_w_max=e.power_w_max,
        energy_j=e.energy_j,
        electricity=None if rates is None else electricity(e.energy_j, e.energy_s, rates),
        sm_mhz_p50=quantile((s.sm_mhz for s in samples), 0.5),
        sm_mhz_max=e.device.sm_mhz_max,
        temp_c_max=e.temp_c_max,
        mem_used_bytes=e.mem_used_bytes,
        mem_total_bytes=(last.mem_total_bytes if last else None) or info.memory_total_bytes,
        ecc_enabled=info.ecc_enabled,
        thermally_settled=settled(samples),
        unknown={**e.missing, **_unseen_inside(e)},
    )


def _measured(ceilings: Ceilings | None) -> str | None:
    """When any of them was measured; a time that no calendar holds is not known."""
    if ceilings is None or ceilings.measured_s is None:
        return None
    try:
        return iso(ceilings.measured_s)
    except (OverflowError, OSError, ValueError):
        return None


def flags(hello: Hello, rows: Sequence[Row], how: Circumstances) -> list[Flag]:
    """Stable codes for everything a reader must know before trusting the figures."""
    found = []
    if hello.synthetic:
        found.append(Flag(code="synthetic", message="the data is synthetic: no GPU produced these figures"))
    if how.t_end_s - how.t_start_s < SHORT_WINDOW_S:
        found.append(
            Flag(
                code="short-window",
                message=f"watched for {how.t_end_s - how.t_start_s:.1f} s; 30 s tells more",
            )
        )
    if how.clock_step:
        said = "the clock was set meanwhile: what was seen before is left out"
        found.append(Flag(code="clock-step", message=said))
    for row in rows:
        found.extend(_row_flags(row))
    for notes, name in price_notes(rows).items():
        found.append(Flag(code="price", message=f"{name}: {'; '.join(notes)}"))
    if rows and all(row.result.ladder.price_usd_h is None for row in rows):
        found.append(Flag(code="no-price", message="no price is known: shares are shown without dollars"))
    return found


def price_notes(rows: Sequence[Row]) -> dict[tuple[str, ...], str]:
    """What weakens the prices -> the first GPU whose price it is; once for all of which the same is said."""
    said = [(row.price.notes, f"GPU {row.evidence.gpu}") for row in rows if row.price.usd_h is not None]
    return {notes: name for notes, name in reversed(said) if notes}


def _row_flags(row: Row) -> list[Flag]:
    e = row.evidence
    name = f"GPU {e.gpu}" + (f" MIG {e.mig}" if e.mig else "")
    said: list[tuple[str, str]] = []
    if e.lost_reason:
        said.append(("gpu-lost", e.lost_reason))
    if e.silent_reason and e.silent_blame == "sampler":
        said.append(
            ("sampler-silent", f"nothing is known of it now, through no fault of its own: {e.silent_reason}")
        )
    if e.gap_s > 0.0:
        said.append(("gap", f"{e.gap_s:.1f} s of the window have no data"))
    if e.tier == "nvml":
        said.append(("no-gpm", f"roofs are estimated from NVML alone: {e.missing.get('gpm', 'no GPM')}"))
    said += _ceiling_flags(row)
    return [Flag(code=code, message=f"{name}: {text}", key=e.key) for code, text in said]


def _ceiling_flags(row: Row) -> list[tuple[str, str]]:
    """What weakens the figures that counters are compared with, and what would mend it."""
    ceilings = row.ceilings
    probe = f"`advisor probe --device {row.info.index if row.evidence.mig is None else row.info.key}`"
    idle = "while nothing runs there"
    if ceilings is None:
        return [("no-ceiling", f"nothing is known of this model's limits; {probe} measures them {idle}")]
    said = []
    if ceilings.measured_s is not None and ceilings.stale:
        said.append(
            ("ceilings-stale", f"ceilings may no longer hold: {ceilings.stale}; run {probe} again {idle}")
        )
    if ceilings.label == "assumed":
        sheet = f"assumed from the data sheet of {ceilings.model}, not measured"
        which = "ceilings are" if ceilings.measured_s is None else "some ceilings are"
        said.append(("assumed-ceilings", f"{which} {sheet}; {probe} measures them {idle}"))
    beyond = exceeded(row.evidence, ceilings)
    if beyond:
        figures = ", ".join(f"{counter} at {frac:.2f} of it" for counter, frac in beyond.items())
        low = "live counters went beyond what a probe reached, so the stored ceiling is too low"
        said.append(("ceiling-exceeded", f"{low} ({figures}); run {probe} again {idle}"))
    return said


def watch_cost(costs: Sequence[float], interval_s: float) -> float | None:
    """Share of one core's time that watching took inside the sampler, from the frames' own costs."""
    return math.fsum(costs) / len(costs) / interval_s if costs and interval_s > 0 else None
