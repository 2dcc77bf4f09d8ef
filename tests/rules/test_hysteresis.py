"""What a screen shows: changes that held, at once where they are plain, and never older than it may be."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rules.decide import decide
from rules.hysteresis import CLEAR_LEAD, HOLD_S, Steady
from rules.verdict import Margin, Verdict
from tests.rules.loads import CEILINGS, Load, evidence, series

COMPUTE: Load = {"tensor_active": 0.76, "hmma": 0.76}
MEMORY: Load = {"dram_active": 0.86}
QUIET: Load = {"gr_active": 0.0}

_ANY = decide(evidence(series((10, MEMORY))), CEILINGS)
_CAUSES = {"memory": "dram-bandwidth", "compute": "tensor-cores", "host": "sync"}


def verdict_of(*parts: tuple[int, Load], lost: str | None = None) -> Verdict:
    return decide(evidence(series(*parts), lost_reason=lost), CEILINGS)


def mix(memory: int, compute: int) -> Verdict:
    """Ten seconds in which both take turns within every second."""
    return verdict_of(*[(memory, MEMORY), (compute, COMPUTE)] * 10)


def made(kind: str, lead: float = 0.1) -> Verdict:
    """A verdict of this class with this lead; "close" is within the noise, "lost" a fault."""
    named = kind in _CAUSES
    cause = _CAUSES.get(kind, {"close": "within-noise", "lost": "gpu-lost"}.get(kind, ""))
    margin = Margin(name="share of it over another", value=lead, threshold=0.0, margin=lead)
    return msgspec.structs.replace(
        _ANY,
        class_=kind if named else "unknown",
        cause=cause,
        confidence=0.8 if named else 0.0,
        margins=() if kind == "lost" else (margin,),
        unknown_because=() if named else (kind,),
    )


def shown_of(steady: Steady, kinds: list[str], step_s: float = 1.0, lead: float = 0.1) -> list[str]:
    """Classes shown for these kinds in turn, one a step, from one step on."""
    return [steady.update(made(kind, lead), (i + 1) * step_s).class_ for i, kind in enumerate(kinds)]


def showing(kind: str) -> Steady:
    steady = Steady()
    steady.update(made(kind), 0.0)
    return steady


def test_a_change_waits_and_faults_do_not() -> None:
    steady = Steady()
    first, other = mix(3, 2), mix(2, 3)
    lost = verdict_of((50, COMPUTE), lost="GPU is lost")
    assert steady.update(first, 0.0).class_ == "memory"
    held = steady.update(other, 1.0)
    assert (held.class_, held.secondary, held.margins) == ("memory", "compute", ())
    assert "DRAM bandwidth limits it" in held.headline and "tensor cores limit it" in held.headline
    assert steady.update(other, 1.0 + HOLD_S).class_ == "compute"
    assert steady.update(lost, 1.1 + HOLD_S).class_ == "unknown"
    assert steady.update(first, 1.2 + HOLD_S).class_ == "memory"


def test_a_lead_about_as_large_as_its_noise_does_not_flicker() -> None:
    steady = Steady()
    named, close = mix(3, 2), verdict_of(*[(5, MEMORY), (5, COMPUTE)] * 5)
    assert (close.class_, close.cause) == ("unknown", "within-noise")
    shown = [steady.update(close if i % 2 else named, float(i)).class_ for i in range(20)]
    assert set(shown) == {"memory"}
    assert steady.update(close, 21.0).confidence <= 0.5
    assert steady.update(close, 21.0 + HOLD_S).class_ == "unknown"
    assert steady.update(named, 22.0 + HOLD_S).class_ == "memory", "what stands out again is said at once"


def test_wide_noise_is_no_clear_lead() -> None:
    """The margin of what is within its noise is the leader's, and may be large where the noise is."""
    kinds = ["close", "memory"] * 10
    assert set(shown_of(showing("memory"), kinds, lead=CLEAR_LEAD + 0.05)) == {"memory"}


@pytest.mark.parametrize("kinds", [["compute", "close"], ["compute", "host"], ["host", "close", "compute"]])
def test_rivals_in_turn_do_not_keep_what_is_over(kinds: list[str]) -> None:
    shown = shown_of(showing("memory"), kinds * 20)
    assert "memory" not in shown[2 * int(HOLD_S) :]


def test_of_two_rivals_the_one_seen_more_is_shown() -> None:
    shown = shown_of(showing("memory"), ["compute", "compute", "close"] * 7)
    assert set(shown[:3]) == {"memory"} and set(shown[4:]) == {"compute"}


def test_a_class_that_still_shows_now_and_then_gives_way() -> None:
    kinds = ["memory", *["compute"] * 5, *["close"] * 4]
    shown = shown_of(showing("memory"), kinds * 5, step_s=0.2)
    assert "memory" not in shown[30:]


def test_what_is_long_over_gives_way_to_whatever_is_reached() -> None:
    """The class seen most is not seen again, so none outlasts it."""
    kinds = [*["compute"] * 11, *["host", "close"] * 12]
    shown = shown_of(showing("memory"), kinds, step_s=0.25)
    assert set(shown[:24]) == {"memory"} and shown[24] != "memory"


def test_a_clear_change_shows_at_once_and_not_one_after_the_other() -> None:
    steady = Steady()
    assert steady.update(verdict_of((50, MEMORY)), 0.0).class_ == "memory"
    assert steady.update(verdict_of((50, COMPUTE)), 0.5).class_ == "compute"
    assert steady.update(verdict_of((50, MEMORY)), 1.0).class_ == "compute"
    assert steady.update(verdict_of((50, MEMORY)), 0.5 + HOLD_S).class_ == "memory"


def test_a_pause_is_no_evidence_for_what_follows_it() -> None:
    steady = showing("memory")
    assert steady.update(made("compute"), 60.0).class_ == "memory"
    assert steady.update(made("compute"), 60.0 + HOLD_S).class_ == "compute"


def test_time_that_starts_again_starts_anew() -> None:
    steady = showing("memory")
    steady.update(made("compute"), 100.0)
    assert steady.update(made("compute"), 5.0).class_ == "memory"
    assert steady.update(made("compute"), 5.0 + HOLD_S).class_ == "compute"


class Tick(NamedTuple):
    kind: str
    step_s: float
    lead: float


KINDS = ("memory", "compute", "host", "close", "lost")
# Steps and HOLD_S are exact in binary, so that sums of them are.
TICKS = st.lists(
    st.builds(Tick, st.sampled_from(KINDS), st.sampled_from([0.25, 0.5, 1.0]), st.sampled_from([0.1, 0.4])),
    min_size=1,
    max_size=80,
)
OFTEN = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 8)), max_size=30).map(
    lambda runs: [Tick(kind, 0.5, 0.1) for kind, count in runs for _ in range(count)]
)


@example([Tick(kind, 1.0, 0.1) for kind in ["memory", *["compute", "close"] * 30]])
@example([Tick(kind, 1.0, 0.4) for kind in ["memory", *["compute", "memory"] * 10]])
@given(st.one_of(TICKS, OFTEN))
def test_what_is_shown_holds_and_is_never_stale(ticks: list[Tick]) -> None:
    steady = Steady()
    t_s = 0.0
    run: tuple[str, float] = ("", 0.0)
    last_seen: dict[str, float] = {}
    before: tuple[str, str] | None = None
    changed_s: float | None = None
    for tick in ticks:
        t_s += tick.step_s
        reached = made(tick.kind, tick.lead)
        run = run if run[0] == reached.class_ else (reached.class_, t_s)
        shown = steady.update(reached, t_s)
        last_seen[reached.class_] = t_s

        assert tick.kind != "lost" or (shown.class_, shown.cause) == ("unknown", "gpu-lost")
        assert t_s - run[1] < HOLD_S or shown.class_ == run[0], "reached for HOLD_S, it is shown"
        assert t_s - last_seen[shown.class_] <= 2 * HOLD_S + 1.0, "nothing is shown that is long over"
        assert shown.class_ == reached.class_ or (shown.confidence <= 0.5 and not shown.margins)

        if before is not None and before[0] != shown.class_:
            plain = tick.kind == "lost" or before[0] == "unknown"
            assert plain or changed_s is None or t_s - changed_s >= HOLD_S, "no flip-flop"
            changed_s = t_s
        before = (shown.class_, shown.cause)
