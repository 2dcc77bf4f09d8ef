"""Rules of failing GPUs: XIDs by their gravity, links and memory by their rate."""

from __future__ import annotations

from typing import Any

import pytest

from rules import xids
from rules.finding import Finding
from rules.registry import run_rules
from tests.rules.contexts import make_context, make_evidence


def found(code: str, **device: Any) -> Finding | None:
    ctx = make_context(make_evidence(device=device))
    return next((f for f in run_rules(ctx) if f.code == code), None)


@pytest.mark.parametrize(
    ("numbers", "severity", "owner", "words"),
    [
        ((31,), "medium", "job", "XID 31: a page fault"),
        ((43, 13, 13), "medium", "job", "XID 43"),
        ((45, 48), "critical", "fleet", "XID 48: an uncorrectable memory error (double bit); and 1 more"),
        ((79,), "critical", "fleet", "fallen off the bus"),
        ((119, 119), "critical", "fleet", "(2 times)"),
        ((74,), "high", "fleet", "NVLink"),
        ((63,), "low", "fleet", "spare"),
        ((94, 13), "high", "fleet", "contained"),
        ((9999,), "medium", "fleet", "not listed"),
    ],
)
def test_the_gravest_xid_decides(numbers: tuple[int, ...], severity: str, owner: str, words: str) -> None:
    made = found("DEV012", xids=numbers)
    assert made is not None
    assert (made.severity, made.owner) == (severity, owner)
    assert words in made.claim


def test_a_reset_is_advised_only_where_it_helps() -> None:
    reset, program = found("DEV012", xids=(119,)), found("DEV012", xids=(13,))
    assert reset is not None and program is not None
    assert any("--gpu-reset" in action for action in reset.actions)
    assert not any("--gpu-reset" in action for action in program.actions)
    assert "compute-sanitizer" in program.actions[0]


def test_every_listed_xid_is_listed_once_and_the_grave_ones_are_known() -> None:
    assert all(xids.known(number).kind != "unlisted" for number in xids.CRITICAL | xids.MILD)
    assert not xids.CRITICAL & xids.MILD
    assert len({xid.number for xid in xids._LISTED}) == len(xids._LISTED)


@pytest.mark.parametrize(("replays", "says"), [(None, False), (0, False), (8, False), (9, True)])
def test_replays_count_from_the_rate_that_dcgm_names(replays: int | None, says: bool) -> None:
    assert (found("DEV013", pcie_replays=replays) is not None) is says


def test_replays_of_a_long_watch_are_a_rate() -> None:
    evidence = make_evidence(device={"pcie_replays": 60}, t_end_s=600.0)
    assert "DEV013" not in {f.code for f in run_rules(make_context(evidence))}


@pytest.mark.parametrize(("errors", "severity"), [(None, None), (0, None), (1, "low"), (10, "medium")])
def test_corrected_errors_by_their_rate(errors: int | None, severity: str | None) -> None:
    made = found("DEV014", ecc_corrected=errors)
    assert (made.severity if made else None) == severity


def test_uncorrected_errors_are_another_finding() -> None:
    assert found("DEV014", ecc_uncorrected=3) is None
