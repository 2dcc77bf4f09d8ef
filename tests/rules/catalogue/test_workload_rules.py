"""Rules of arithmetic, memory, shape, links, capacity and pauses: where they end, and what they need."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rules.evidence import HostEvidence, SubWindow, Workload
from rules.finding import Finding
from rules.registry import Context, get_rule, run_rules
from tests.rules.catalogue.signatures import (
    COPIES,
    GIB,
    MIG,
    SIGNATURES,
    SMALL,
    at_roof,
    bursts,
    card,
    long,
    low,
)
from tests.rules.contexts import make_context, make_evidence

SERVER = Workload(pid=4242, name="vllm", user="alice")
TRAINING = Workload(pid=4242, name="train_resnet.py", user="alice")


def codes(ctx: Context) -> set[str]:
    return {found.code for found in run_rules(ctx)}


def only(ctx: Context, code: str) -> Finding:
    return next(found for found in run_rules(ctx) if found.code == code)


def without(code: str, counter: str) -> Context:
    """A rule's signature in which a counter was not read."""
    ctx = SIGNATURES[code]
    windows = tuple(msgspec.structs.replace(w, **{counter: None}) for w in ctx.evidence.windows)
    evidence = msgspec.structs.replace(ctx.evidence, windows=windows)
    left = {
        class_: {k: v for k, v in of.items() if k != counter} for class_, of in ctx.verdict.counters.items()
    }
    return msgspec.structs.replace(
        ctx, evidence=evidence, verdict=msgspec.structs.replace(ctx.verdict, counters=left)
    )


@pytest.mark.parametrize(
    ("code", "counter"),
    [
        ("MEM003", "sm_occupancy"),
        ("MEM004", "fp32"),
        ("MEM004", "tensor_active"),
        ("COMP003", "tensor_active"),
        ("COMP004", "tensor_active"),
        ("COMP006", "tensor_active"),
        ("COMP006", "fp32"),
        ("DEV007", "sm_active"),
        ("DEV008", "sm_occupancy"),
        ("DEV009", "sm_active"),
        ("CAP003", "sm_active"),
        ("CAP003", "dram_active"),
        ("CAP004", "gr_active"),
        ("COMM002", "pcie_tx_bytes_s"),
        ("IDLE003", "gr_active"),
    ],
)
def test_a_rule_is_silent_without_the_counter_it_rests_on(code: str, counter: str) -> None:
    assert code in codes(SIGNATURES[code])
    assert code not in codes(without(code, counter))


@pytest.mark.parametrize("code", ["COMP003", "COMP004", "COMP005", "COMP006", "COMP007"])
def test_what_rests_on_rates_is_silent_on_an_unknown_card(code: str) -> None:
    assert code not in codes(msgspec.structs.replace(SIGNATURES[code], ceilings=None))


@pytest.mark.parametrize("code", ["CAP001", "CAP002", "CAP003", "CAP004"])
def test_capacity_is_a_matter_of_a_process_and_of_a_verdict(code: str) -> None:
    ctx = SIGNATURES[code]
    nobody = msgspec.structs.replace(ctx.evidence, workload=None)
    assert code not in codes(msgspec.structs.replace(ctx, evidence=nobody))
    for class_ in ("unknown", "idle"):
        undecided = msgspec.structs.replace(ctx.verdict, class_=class_)
        assert code not in codes(msgspec.structs.replace(ctx, verdict=undecided))


def fp32_at_roof(**rates: float) -> Context:
    return at_roof("compute", {"tensor_active": 0.0, "fp32": 0.7}, pipe="fp32", ceilings=card(**rates))


def test_tf32_is_named_only_where_the_card_has_faster_tensor_cores() -> None:
    assert "COMP003" in codes(fp32_at_roof(tf32=66e12))
    assert codes(fp32_at_roof(tf32=55e12)) == {"COMP002"}
    found = only(fp32_at_roof(), "COMP003")
    assert "8.0 times as fast" in found.claim
    assert found.effect is not None
    assert found.effect.low == 1.0
    assert found.effect.high == pytest.approx(1 / (0.1 + 0.9 / 8))


def test_what_tf32_may_buy_is_its_part_of_what_the_ladder_has_lost_and_half_believed() -> None:
    ctx = fp32_at_roof()
    found = only(ctx, "COMP003")
    assert found.usd_h == pytest.approx(10 * ctx.ladder.shares["inefficiency"] * (1 - 1 / 8))
    assert (found.confidence, found.severity, found.role) == (0.5, "medium", "primary")
    assert "TF32 is off" not in found.title
    far = at_roof(
        "compute", {"tensor_active": 0.0, "fp32": 0.7}, 0.05, pipe="fp32", ceilings=card(tf32=66e12)
    )
    assert only(far, "COMP003").usd_h == pytest.approx(10 * 0.9 * 0.95 * (1 - 50 / 66))


@pytest.mark.parametrize(("rate", "code"), [(0.8e12, "COMP004"), (5e12, "COMP004"), (25e12, "COMP002")])
def test_fp64_is_called_slow_where_it_is_slow_by_design(rate: float, code: str) -> None:
    ctx = at_roof("compute", {"tensor_active": 0.0, "fp64": 0.7}, pipe="fp64", ceilings=card(fp64=rate))
    assert codes(ctx) == {code}


def test_a_lower_precision_contributes_and_may_be_slower() -> None:
    found = only(SIGNATURES["COMP005"], "COMP005")
    assert found.role == "contributing"
    assert only(SIGNATURES["COMP005"], "COMP001").role == "primary"
    assert found.effect is not None
    assert found.effect.low < 1.0 < found.effect.high <= 1.75
    assert "COMP005" not in codes(at_roof("compute", {"tensor_active": 0.7}, pipe="imma"))
    assert "COMP005" not in codes(at_roof("compute", {"tensor_active": 0.7}, pipe="tensor_active"))
    none = card(fp8=700e12)
    assert "COMP005" not in codes(at_roof("compute", {"tensor_active": 0.7}, pipe="hmma", ceilings=none))


@pytest.mark.parametrize(
    ("kinds", "words", "fires"),
    [
        ({"hmma": 0.8}, "tensor cores (fp16/bf16)", True),
        ({"hmma": 0.1, "imma": 0.7}, "tensor cores (integer)", False),
        ({"dmma": 0.8}, "tensor cores (fp64)", False),
        ({"hmma": 0.2, "imma": 0.2, "dfma": 0.0, "dmma": 0.0}, "tensor cores", False),
    ],
)
def test_what_fills_the_tensor_cores_is_named_and_only_16_bits_can_be_halved(
    kinds: dict[str, float], words: str, fires: bool
) -> None:
    ctx = at_roof("compute", {"tensor_active": 0.85} | kinds, pipe="tensor_active")
    assert ("COMP005" in codes(ctx)) is fires
    assert f"is limited by its {words} 90 %" in only(ctx, "COMP001").claim


def test_memory_bound_matrix_work_is_called_decode_in_a_server_alone() -> None:
    counters = {"tensor_active": 0.22, "dram_active": 0.65}
    training, serving = (at_roof("memory", counters, workload=w) for w in (TRAINING, SERVER))
    one, other = only(training, "MEM002"), only(serving, "MEM002")
    assert (one.confidence, other.confidence) == (0.5, 0.9)
    assert "--max-num-seqs" not in "".join(one.actions) and "--max-num-seqs" in other.actions[0]
    assert "decode" not in one.claim + one.title and "decode" in other.claim
    idle = at_roof("memory", {"tensor_active": 0.0, "dram_active": 0.65}, workload=SERVER)
    assert "MEM002" not in codes(idle)


def test_the_fp32_pipe_must_be_in_use_before_tensor_cores_are_missed() -> None:
    quiet = at_roof("device", {"tensor_active": 0.0, "fp32": 0.15, "sm_active": 0.95}, 0.2)
    assert codes(quiet) == {"DEV001"}
    busy = at_roof("device", {"tensor_active": 0.05, "fp32": 0.3, "sm_active": 0.95}, 0.4)
    assert codes(busy) == {"DEV001"}


@pytest.mark.parametrize(
    ("roof", "change", "fires"),
    [
        (0.65, {}, True),
        (0.85, {}, False),
        (0.65, {"workload": Workload(pid=1, name="a", others=1)}, False),
        (0.65, {"workload": None}, False),
    ],
)
def test_shapes_are_blamed_alone_and_below_a_measured_ceiling(
    roof: float, change: dict[str, Any], fires: bool
) -> None:
    counters = {"tensor_active": 0.5}
    measured = at_roof("compute", counters, roof, pipe="hmma", **change)
    assumed = at_roof("compute", counters, roof, pipe="hmma", ceilings=card("assumed"), **change)
    assert ("COMP007" in codes(measured)) is fires
    assert "COMP007" not in codes(assumed)


@pytest.mark.parametrize(
    ("fp32", "fires"), [(0.0, False), (0.01, False), (0.02, True), (0.19, True), (0.2, False)]
)
def test_copies_and_dense_arithmetic_are_no_elementwise_chain(fp32: float, fires: bool) -> None:
    ctx = at_roof("memory", {"tensor_active": 0.0, "fp32": fp32, "sm_occupancy": 0.8})
    assert ("MEM004" in codes(ctx)) is fires


def test_bytes_in_flight_are_missed_below_the_roof_alone() -> None:
    few = {"tensor_active": 0.0, "sm_occupancy": 0.1}
    assert "MEM003" in codes(at_roof("memory", few, 0.79))
    assert "MEM003" not in codes(at_roof("memory", few, 0.8))
    assert "MEM003" not in codes(at_roof("memory", few | {"sm_occupancy": 0.25}, 0.7))


def test_the_verdicts_cause_says_which_rule_speaks_of_the_device() -> None:
    ctx = low({"sm_active": 0.7, "sm_occupancy": 0.5})
    said = msgspec.structs.replace(ctx.verdict, cause="low-occupancy")
    assert codes(ctx) == {"DEV009"}
    assert codes(msgspec.structs.replace(ctx, verdict=said)) == {"DEV008"}


def test_without_sm_counters_the_reason_is_told() -> None:
    ctx = low({}, missing={"gpm": "this GPU has no GPM"})
    assert "is unknown, because this GPU has no GPM." in only(ctx, "DEV001").claim


def test_idle_sms_bound_what_a_larger_grid_buys() -> None:
    found = only(low({"sm_active": 0.25}, device={"sm_count": 132}), "DEV007")
    assert "25 % of its 132 SMs" in found.claim
    assert found.effect is not None
    assert found.effect.high == pytest.approx(1 / (0.1 + 0.9 * 0.25))


def test_memory_is_full_from_19_twentieths_and_servers_fill_it_on_purpose() -> None:
    def full(used: float, **more: Any) -> Context:
        return make_context(make_evidence(mem_used_bytes=int(used * 80 * GIB), **more), class_="compute")

    assert codes(full(0.94)) == set()
    assert only(full(0.96), "CAP001").severity == "low"
    assert only(full(0.995), "CAP001").severity == "medium"
    assert codes(full(0.96, workload=SERVER)) == set()
    assert codes(full(0.96, server="vllm")) == set()


def test_processes_under_mps_do_not_take_turns() -> None:
    ctx = SIGNATURES["CAP004"]
    under = msgspec.structs.replace(ctx.evidence, mps=True)
    assert "CAP004" in codes(ctx)
    assert "CAP004" not in codes(msgspec.structs.replace(ctx, evidence=under))


@pytest.mark.parametrize(
    ("host", "fires"),
    [
        ({"main_thread_cpu_frac": 0.99, "children_busy": 0, "process_cpu_cores": 1.0}, True),
        ({"main_thread_cpu_frac": 0.2, "children": 8, "children_busy": 8}, False),
        ({"children_dstate_frac": 0.7}, False),
        ({"process_cpu_cores": 0.01}, False),
        ({}, False),
    ],
)
def test_a_batch_grows_only_against_what_each_step_costs(host: dict[str, Any], fires: bool) -> None:
    e = make_evidence({"gr_active": 0.6, "sm_active": 0.06}, host, mem_used_bytes=8 * GIB)
    assert ("CAP002" in codes(make_context(e, host=0.4))) is fires


@pytest.mark.parametrize(
    ("change", "used_gib", "fires"),
    [
        ({}, 4, True),
        ({}, 20, False),
        ({"sm_active": 0.5}, 4, False),
        ({"dram_active": 0.2}, 4, False),
    ],
)
def test_a_smaller_card_must_do_by_every_measure(
    change: dict[str, float], used_gib: int, fires: bool
) -> None:
    e = long(SMALL | change, used_gib, host={"process_cpu_cores": 0.02}, device=MIG)
    ctx = make_context(e, host=0.7, ceilings=card())
    assert ("CAP003" in codes(ctx)) is fires


def test_a_short_look_or_a_slice_says_nothing_of_the_size_of_card() -> None:
    e = long(SMALL, 4, host={"process_cpu_cores": 0.02}, device=MIG)
    short = msgspec.structs.replace(e, windows=e.windows[:59])
    sliced = msgspec.structs.replace(e, mig="1g.10gb/7")
    for changed in (short, sliced):
        assert "CAP003" not in codes(make_context(changed, host=0.7, ceilings=card()))


@pytest.mark.parametrize(
    ("capability", "fires"), [("9.0", True), ("8.0", True), ("10.0", True), ("8.9", False), (None, False)]
)
def test_only_a_card_that_can_be_divided_is_divided(capability: str | None, fires: bool) -> None:
    e = long(SMALL, 4, host={"process_cpu_cores": 0.02}, device={"compute_capability": capability})
    ctx = make_context(e, host=0.7, ceilings=card())
    assert ("CAP003" in codes(ctx)) is fires
    if fires:
        assert "-lgip" in only(ctx, "CAP003").actions[0] and "20gb" not in only(ctx, "CAP003").actions[0]


@pytest.mark.parametrize(
    ("traffic", "code"),
    [
        ({}, "COMM002"),
        ({"pcie_rx_bytes_s": 1e9, "pcie_tx_bytes_s": 45e9}, "COMM002"),
        ({"pcie_tx_bytes_s": 40e9}, "COMM001"),
        ({"nvlink_rx_bytes_s": 390e9}, "COMM001"),
        ({"pcie_rx_bytes_s": None}, "COMM001"),
    ],
)
def test_one_way_over_pcie_is_the_host_and_both_ways_are_peers(traffic: dict[str, Any], code: str) -> None:
    ctx = make_context(
        make_evidence(COPIES | traffic), class_="communication", communication=0.5, ceilings=card()
    )
    assert codes(ctx) == {code}


@pytest.mark.parametrize(
    ("pattern", "code"),
    [
        ((10, 5, 10, 5), "IDLE003"),
        ((10, 5, 4, 5), "IDLE002"),
        ((20, 1), "IDLE002"),
        ((5, 0.5, 5), "IDLE003"),
    ],
)
def test_pauses_that_come_back_are_told_from_one_long_silence(pattern: tuple[float, ...], code: str) -> None:
    assert codes(make_context(bursts(*pattern), class_="idle", idle_held=0.6)) == {code}


def test_a_pause_ends_where_the_device_was_not_held() -> None:
    free = SubWindow(t_s=0.0, duration_s=10.0, has_process=False, gr_active=0.0)
    held = SubWindow(t_s=0.0, duration_s=6.0, has_process=True, gr_active=0.0)
    e = make_evidence(windows=(held, free, held), t_end_s=22.0)
    assert codes(make_context(e, class_="idle", idle_held=0.5, free=0.45)) == {"IDLE001", "IDLE003"}


SAVES = HostEvidence(io_write_bytes_s=160e6, main_thread_cpu_frac=0.6)


@pytest.mark.parametrize("pattern", [(8, 12, 8, 12), (8, 22)])
def test_pauses_in_which_much_is_written_are_checkpoints(pattern: tuple[float, ...]) -> None:
    saves = msgspec.structs.replace(bursts(*pattern), host=SAVES)
    ctx = make_context(saves, class_="idle", idle_held=0.4, compute=0.6)
    found = only(ctx, "HOST016")
    assert not codes(ctx) & {"IDLE002", "IDLE003"}
    assert (found.term, found.role, found.share) == ("idle_held", "primary", 0.4)
    assert "stands still 40 % of the time" in found.claim
    assert "async_save" in "".join(found.actions) and "MIG" not in "".join(found.actions)


def test_pauses_without_writing_or_without_work_are_no_checkpoints() -> None:
    quiet = make_context(bursts(8, 12, 8, 12), class_="idle", idle_held=0.4, compute=0.6)
    assert "HOST016" not in codes(quiet)
    done = msgspec.structs.replace(bursts(30, 0.5), host=SAVES)
    assert codes(make_context(done, class_="idle", idle_held=0.98)) == {"IDLE002"}


def test_a_gap_of_the_host_beside_pauses_takes_the_term_of_the_larger() -> None:
    saves = msgspec.structs.replace(bursts(8, 12, 8, 12), host=SAVES)
    found = only(make_context(saves, class_="host", host=0.4, idle_held=0.2, compute=0.4), "HOST016")
    assert (found.term, found.share) == ("host_gap", 0.4)


@pytest.mark.parametrize(
    ("host", "held", "works"),
    [
        ({"main_thread_cpu_frac": 0.99}, 0.66, True),
        ({"main_thread_cpu_frac": 0.99}, 0.4, False),
        ({"main_thread_cpu_frac": 0.2, "children": 8, "children_busy": 8}, 0.66, True),
        ({"main_thread_cpu_frac": 0.05, "children": 0, "children_busy": 0}, 0.66, False),
    ],
)
def test_pauses_of_a_busy_process_are_of_its_own_making(
    host: dict[str, Any], held: float, works: bool
) -> None:
    e = msgspec.structs.replace(bursts(10, 5, 10, 5), host=HostEvidence(**host))
    found = only(make_context(e, class_="idle", idle_held=held, compute=1 - held), "IDLE003")
    assert ("in which its host works" in found.claim) is works
    assert ("--stacks" in found.actions[0]) is works
    assert found.confidence == (0.5 if works else 0.9)


@pytest.mark.parametrize("code", ["MEM001", "COMP001", "HOST001"])
def test_two_shares_too_close_to_tell_apart_are_both_found_and_neither_surely(code: str) -> None:
    close = {
        "cause": "within-noise",
        "confidence": 0.0,
        "pipe": "hmma",
        "roofs": {"memory": 0.8, "compute": 0.8},
    }
    ctx = make_context(class_="unknown", host=0.2, memory=0.4, compute=0.38, verdict=close)
    made = get_rule(code)(ctx)
    assert made is not None and 0.0 < made.confidence <= 0.5
    nothing = make_context(class_="unknown", host=0.2, memory=0.4, compute=0.38, verdict={"cause": "no-data"})
    assert get_rule(code)(nothing) is None


def test_no_finding_names_more_dollars_than_its_own_range_saves() -> None:
    few = make_evidence({"gr_active": 1.0, "sm_active": 0.05, "sm_occupancy": 0.02})
    for made in (
        get_rule("DEV007")(make_context(few, class_="device", device=0.99)),
        get_rule("COMM001")(make_context(class_="communication", communication=0.95)),
    ):
        assert made is not None and made.effect is not None
        assert made.usd_h == pytest.approx(10.0 * (1.0 - 1.0 / made.effect.high))


def test_a_lower_precision_wins_back_its_part_of_what_is_lost_and_no_useful_time() -> None:
    """fp8 at 1.75 times bf16, at 0.9 of the roof: 43 % of the lost tenth goes, not all of it."""
    ctx = SIGNATURES["COMP005"]
    found = only(ctx, "COMP005")
    assert found.effect is not None and found.recoverable is not None
    ratio = 1.0 / (1.0 - (1.0 - 1.0 / found.effect.high) / ctx.verdict.shares["compute"])
    assert ratio > 1.5
    assert found.recoverable == pytest.approx(
        ctx.ladder.shares["inefficiency"] * (1.0 - 1.0 / ratio), rel=0.01
    )
