"""A trace beside a live look: of one job it joins, of another it says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from advisor.document import Diagnosis
from advisor.traces.joining import JoinError, join, matched
from rules.economics import saved
from rules.evidence import Workload
from rules.recover import recoverable
from tests.advisor.traces.diagnosed import diagnosed
from tests.advisor.traces.made import training
from tests.factories import make_diagnosis


@pytest.fixture
def traced(tmp_path: Path) -> Diagnosis:
    """A made-up trace whose device waits for data."""
    made = training(20, gap_us=400.0, device_name="NVIDIA H100 80GB HBM3")
    return diagnosed([made.write(tmp_path / "run.json")])


def live_of(traced: Diagnosis, **changes: Any) -> Diagnosis:
    """A live look at the same device, at the same time, with what a test changes of its verdict."""
    live = make_diagnosis("compute")
    (verdict,) = live.verdicts
    pid = traced.verdicts[0].workload.pid if traced.verdicts[0].workload else 0
    facts = {"device_name": traced.verdicts[0].device_name, "workload": Workload(pid=pid, name="train.py")}
    times = {"t_start_s": traced.provenance.t_start_s - 1, "t_end_s": traced.provenance.t_end_s + 1}
    return msgspec.structs.replace(
        live,
        verdicts=(msgspec.structs.replace(verdict, **(facts | changes)),),
        provenance=msgspec.structs.replace(live.provenance, host="", **times),
    )


def test_the_same_process_joins(traced: Diagnosis) -> None:
    live = live_of(traced)
    document = join(live, traced)
    assert document.verdicts == live.verdicts
    assert document.ladder == live.ladder
    assert document.trace == traced.trace
    joined = [f for f in document.findings if f.code.startswith("TRACE")]
    assert joined
    assert {f.key for f in joined} == {live.verdicts[0].key}
    assert all(f.claim.startswith("In the trace: ") for f in joined)
    primaries = [f.term for f in document.findings if f.role == "primary" and f.term]
    assert len(primaries) == len(set(primaries))


def of_term(live: Diagnosis, term: str, share: float) -> Diagnosis:
    """The live look, of which a term has this share and useful time the rest."""
    (row,) = live.ladder
    shares = {**dict.fromkeys(row.shares, 0.0), term: share, "useful": 1.0 - share}
    terms = {name: part * (row.price_usd_h or 0.0) for name, part in shares.items()}
    return msgspec.structs.replace(live, ladder=(msgspec.structs.replace(row, shares=shares, terms=terms),))


@pytest.mark.parametrize("part", [0.08, 0.02])
def test_what_a_fix_wins_back_is_of_the_live_rows_term(traced: Diagnosis, part: float) -> None:
    """The trace sees half of its time lost for data; the live look sees a few percent of it."""
    before = next(f for f in traced.findings if f.code == "TRACE001")
    assert before.effect is not None
    assert before.share > 0.3
    document = join(of_term(live_of(traced), "host_gap", part), traced)
    (row,) = document.ladder
    assert row.price_usd_h is not None
    found = next(f for f in document.findings if f.code == "TRACE001")
    assert found.effect is not None
    assert found.share <= part
    assert found.usd_h is not None
    assert found.usd_h <= part * row.price_usd_h + 1e-9
    assert saved(found.effect) <= part + 1e-9
    (gap,) = [entry for entry in recoverable(row, document.findings) if entry.term == "host_gap"]
    assert gap.share_low == pytest.approx(gap.share_high * (1 - 1 / before.effect.low) / saved(before.effect))
    assert gap.share_high <= part + 1e-9
    assert found.severity in ("low", "info")


def test_where_the_live_look_sees_as_much_nothing_is_scaled(traced: Diagnosis) -> None:
    before = next(f for f in traced.findings if f.code == "TRACE001")
    found = next(
        f for f in join(of_term(live_of(traced), "host_gap", 0.9), traced).findings if f.code == "TRACE001"
    )
    assert (found.effect, found.share, found.recoverable) == (before.effect, before.share, before.recoverable)


def test_a_trace_joined_again_replaces_itself(traced: Diagnosis) -> None:
    once = join(live_of(traced), traced)
    twice = join(once, traced)
    assert [f.code for f in twice.findings] == [f.code for f in once.findings]
    assert twice.flags == once.flags


def test_one_class_and_cause_agree_and_another_cause_is_said(traced: Diagnosis) -> None:
    cause = traced.verdicts[0].cause
    same = {f.code: f.message for f in join(live_of(traced, class_="host", cause=cause), traced).flags}
    assert "trace-differs" not in same
    assert "agree" in same["trace-agrees"]
    other = join(live_of(traced, class_="host", cause="no-demand"), traced).flags
    said = next(f.message for f in other if f.code == "trace-differs")
    assert "nothing asks it for work" in said
    assert "input pipeline" in said


def test_another_class_is_noted(traced: Diagnosis) -> None:
    flags = {flag.code: flag.message for flag in join(live_of(traced), traced).flags}
    assert "trace-joined" in flags
    assert "compute-bound" in flags["trace-differs"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"workload": Workload(pid=99, name="other.py")}, "process"),
        ({"device_name": "NVIDIA A100-SXM4-80GB"}, "is a NVIDIA H100"),
    ],
)
def test_another_job_or_card_is_refused(traced: Diagnosis, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(JoinError, match=why):
        join(live_of(traced, **changes), traced)


def test_another_time_is_refused(traced: Diagnosis) -> None:
    live = live_of(traced)
    later = msgspec.structs.replace(live.provenance, t_start_s=2e9, t_end_s=2e9 + 60)
    with pytest.raises(JoinError, match="another time"):
        join(msgspec.structs.replace(live, provenance=later), traced)


def test_another_host_is_refused(traced: Diagnosis) -> None:
    live = live_of(traced)
    here = msgspec.structs.replace(live.provenance, host="host-1")
    there = msgspec.structs.replace(traced.provenance, host="host-2")
    with pytest.raises(JoinError, match="another host"):
        join(
            msgspec.structs.replace(live, provenance=here), msgspec.structs.replace(traced, provenance=there)
        )


def test_without_a_pid_the_device_at_the_same_time_matches(traced: Diagnosis) -> None:
    found, reasons = matched(live_of(traced, workload=None), traced)
    assert [m.because for m in found] == ["device 0 at the same time"]
    assert reasons == []


def test_a_trace_of_no_device_is_refused(traced: Diagnosis) -> None:
    empty = msgspec.structs.replace(traced, verdicts=(), findings=())
    with pytest.raises(JoinError, match="no device"):
        join(live_of(traced), empty)
