"""Hypothesis strategies: documents of any content that the types allow."""

from __future__ import annotations

import math
from functools import cache
from typing import get_args

import msgspec
from hypothesis import strategies as st
from msgspec.structs import replace

from advisor.diagnosis import totals as totals_of
from advisor.document import DeviceProvenance, Diagnosis, Flag, Provenance, Totals
from rules.evidence import Tier, Workload
from rules.finding import SEVERITIES, TERMS, Effect, Finding, LadderRow
from rules.verdict import SHARES, Class, EvidenceItem, Margin, Verdict

HOSTILE = (
    "a|b",
    "`code`",
    "``` fence",
    "<script>alert(1)</script>",
    "[text](https://example.org)",
    "![image](https://example.org/x.png)",
    "https://example.org/",
    "@everyone #1",
    "{noformat}{code}{color:red}",
    "h1. heading",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "\u202egnp.exe",
    "line\nbreak\r\n\n# heading\n| a |",
    "[bold red]markup[/]",
    "\x00\x07\x9b31m",
    "\ud800",
    "$\\href{x}{y}$",
    "&lt;b&gt; &#124;",
    "\\",
    "x" * 5000,
    "|" * 5000,
    "",
)

fracs = st.floats(0.0, 1.0)
numbers = st.floats(-1e12, 1e12, allow_nan=False)
texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=40))
gpus = st.integers(0, 7)
migs = st.none() | texts
keys = st.sampled_from([f"GPU-{i}" for i in range(8)]) | texts
classes: st.SearchStrategy[Class] = st.sampled_from(get_args(Class))
tiers: st.SearchStrategy[Tier] = st.sampled_from(get_args(Tier))
unknowns = st.dictionaries(texts, texts, max_size=3)
dollars = st.floats(0.0, 1e6, allow_nan=False)


def parts(names: tuple[str, ...]) -> st.SearchStrategy[dict[str, float]]:
    """Shares of 1 over `names`."""
    weights = st.lists(st.floats(0.0, 1.0), min_size=len(names), max_size=len(names))
    return weights.map(lambda found: _normal(names, found))


def _normal(names: tuple[str, ...], weights: list[float]) -> dict[str, float]:
    whole = sum(weights)
    if whole < 1e-6:
        return {**dict.fromkeys(names, 0.0), names[-1]: 1.0}
    return {name: weight / whole for name, weight in zip(names, weights, strict=True)}


evidence_items = st.builds(
    EvidenceItem,
    metric=texts,
    value=st.none() | numbers | texts,
    unit=st.sampled_from(["frac", "bytes_s", "bytes", "w", "mhz", "c", "count", "cores", "s", ""]) | texts,
    threshold=st.none() | texts,
    source=texts,
)
workloads = st.builds(
    Workload, pid=st.integers(1, 2**31), name=texts, user=st.none() | texts, job=st.none() | texts
)
verdicts = st.builds(
    Verdict,
    key=keys,
    gpu=gpus,
    mig=migs,
    device_name=texts,
    workload=st.none() | workloads,
    class_=classes,
    cause=texts,
    confidence=fracs,
    tier=tiers,
    shares=parts(SHARES) | st.just({}),
    evidence=st.lists(evidence_items, max_size=3).map(tuple),
    secondary=st.none() | classes,
    secondary_cause=st.none() | texts,
    margins=st.lists(
        st.builds(Margin, name=texts, value=numbers, threshold=numbers, margin=numbers), max_size=2
    ).map(tuple),
    dram_roof_frac=st.none() | fracs,
    pipe_roof_frac=st.none() | fracs,
    ceilings_label=st.sampled_from([None, "measured", "stale", "typical", "assumed"]),
    headline=texts,
    unknown_because=st.lists(texts, max_size=3).map(tuple),
)
effects = st.builds(
    Effect,
    low=st.floats(0.1, 2.0),
    high=st.floats(0.1, 10.0),
    basis=texts,
    bound=st.none() | st.floats(1.0, 10.0),
)
findings = st.builds(
    Finding,
    code=st.sampled_from(["HOST003", "MEM001", "COMP002", "IDLE001"]) | texts,
    title=texts,
    severity=st.sampled_from(SEVERITIES),
    gpu=gpus,
    key=keys,
    mig=migs,
    claim=texts,
    confidence=fracs,
    share=fracs,
    why=texts,
    evidence=st.lists(evidence_items, max_size=4).map(tuple),
    actions=st.lists(texts, max_size=3).map(tuple),
    effect=st.none() | effects,
    usd_h=st.none() | dollars,
    owner=st.sampled_from(["job", "fleet"]),
    references=st.lists(texts, max_size=2).map(tuple),
    term=st.none() | st.sampled_from(TERMS),
    role=st.sampled_from(["primary", "contributing"]),
)


@st.composite
def ladder_rows(draw: st.DrawFn) -> LadderRow:
    """A ladder whose terms sum to its price, or one without a price."""
    shares = draw(parts(TERMS))
    price = draw(st.none() | dollars)
    terms = None if price is None else {name: share * price for name, share in shares.items()}
    wasted = None if terms is None else sum(v for k, v in terms.items() if k not in ("useful", "unknown"))
    return LadderRow(
        key=draw(keys),
        gpu=draw(gpus),
        mig=draw(migs),
        price_usd_h=price,
        basis=draw(texts),
        price_source=draw(texts),
        shares=shares,
        terms=terms,
        wasted_usd_h=wasted,
    )


devices = st.builds(
    DeviceProvenance,
    key=keys,
    gpu=gpus,
    name=texts,
    mig=migs,
    windows=st.integers(0, 10**6),
    observed_s=st.floats(0, 1e6),
    ceilings_label=st.sampled_from([None, "measured", "typical", "assumed"]) | texts,
    ceilings_model=st.none() | texts,
    ceilings_measured=st.sampled_from([None, "2026-03-29T08:00:00+00:00"]) | texts,
    ceilings_stale=st.none() | texts,
    power_w_p50=st.none() | st.floats(0, 2000),
    thermally_settled=st.none() | st.booleans(),
    unknown=unknowns,
)
provenances = st.builds(
    Provenance,
    advisor_version=texts,
    created=texts,
    source=st.sampled_from(["live", "replay", "demo", "run"]),
    host=texts,
    t_start_s=st.floats(0, 2e9),
    t_end_s=st.floats(0, 2e9),
    interval_s=st.floats(0.01, 60),
    gpm_interval_s=st.floats(0, 60),
    driver_version=st.none() | texts,
    command=texts,
    note=texts,
    synthetic=st.booleans(),
    devices=st.lists(devices, max_size=3).map(tuple),
    redacted=st.lists(texts, max_size=3).map(tuple),
    unknown=unknowns,
)
totals = st.builds(
    Totals,
    price_usd_h=st.none() | dollars,
    wasted_usd_h=st.none() | dollars,
    terms=st.just({}),
    unpriced=gpus,
)
flags = st.builds(Flag, code=texts, message=texts, key=st.none() | keys)


@cache
def diagnoses(max_rows: int = 3) -> st.SearchStrategy[Diagnosis]:
    """Any document, consistent or not, with up to `max_rows` of everything."""
    return st.builds(
        Diagnosis,
        provenance=provenances,
        verdicts=st.lists(verdicts, max_size=max_rows).map(tuple),
        ladder=st.lists(ladder_rows(), max_size=max_rows).map(tuple),
        findings=st.lists(findings, max_size=max_rows).map(tuple),
        totals=totals,
        flags=st.lists(flags, max_size=max_rows).map(tuple),
    )


def with_sound_money(diagnosis: Diagnosis) -> Diagnosis:
    """The same document with dollars that add up, as `decode` asks for: a price, and all of it useful."""
    rows = tuple(_sound_row(row) for row in diagnosis.ladder)
    most = min((row.price_usd_h or 0.0 for row in rows), default=0.0)
    findings = tuple(
        replace(f, usd_h=None if f.usd_h is None or not math.isfinite(f.usd_h) else min(abs(f.usd_h), most))
        for f in diagnosis.findings
    )
    return replace(diagnosis, ladder=rows, findings=findings, totals=totals_of(rows))


def _sound_row(row: LadderRow) -> LadderRow:
    price = row.price_usd_h
    if price is None or not math.isfinite(price):
        return replace(row, price_usd_h=None, terms=None, shares={"useful": 1.0})
    price = min(abs(price), 10_000.0)
    return replace(row, price_usd_h=price, terms={"useful": price}, shares={"useful": 1.0})


def readable(diagnosis: Diagnosis) -> Diagnosis:
    """The document as it is after a trip through bytes (lone surrogates replaced)."""
    raw = msgspec.to_builtins(diagnosis)
    return msgspec.convert(_clean(raw), type=Diagnosis)


def _clean(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_clean(k): _clean(v) for k, v in value.items()}
    return [_clean(v) for v in value] if isinstance(value, list | tuple) else value
