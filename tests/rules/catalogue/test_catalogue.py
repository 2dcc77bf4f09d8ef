"""Every rule fires on its own signature, stays silent without it, and says its number."""

from __future__ import annotations

from typing import Any

import pytest

from rules.finding import Finding
from rules.registry import Context, all_rules, run_rules
from tests.rules.catalogue import serving, signatures, traces
from tests.rules.contexts import PROBED, beside_siblings, make_context, make_evidence, stacks_of

WORKERS = {"main_thread_cpu_frac": 0.2, "children": 8, "children_busy": 8}
PEGGED = {"main_thread_cpu_frac": 0.99, "children_busy": 0, "process_cpu_cores": 1.0}
LINK = {"pcie_gen": 4, "pcie_width": 16}


def codes(ctx: Context) -> list[str]:
    return [found.code for found in run_rules(ctx)]


def only(ctx: Context, code: str) -> Finding:
    return next(found for found in run_rules(ctx) if found.code == code)


ONE_WORKER = {
    "main_thread_cpu_frac": 0.03, "children": 1, "children_busy": 1, "children_cpu_frac": 0.97,
    "process_cpu_cores": 1.0,
}  # fmt: skip


def gap(
    host: dict[str, Any], counters: dict[str, Any] | None = None, share: float = 0.38, **device: Any
) -> Context:
    evidence = make_evidence({"gr_active": 1 - share} | (counters or {}), host, device)
    return make_context(evidence, host=share)


def roofed(class_: Any, counters: dict[str, Any], **verdict: Any) -> Context:
    evidence = make_evidence({"gr_active": 1.0} | counters)
    shares: dict[str, Any] = {class_: 0.9}
    known = [v for name, v in verdict.items() if name.endswith("roof_frac")]
    verdict["roofs"] = {class_: max(known)} if known else {}
    return make_context(evidence, class_=class_, useful=0.6, verdict=verdict, **shares)


LOWERED = {"power_limit_w": 500.0, "power_limit_default_w": 700.0}
SIGNATURES: dict[str, Context] = {
    "IDLE001": make_context(class_="idle", free=1.0),
    "IDLE002": make_context(make_evidence(mem_used_bytes=16 << 30), class_="idle", idle_held=0.8),
    "HOST001": gap({}),
    "HOST002": gap(PEGGED, {"sm_active": 0.1}),
    "HOST003": gap(WORKERS),
    "HOST004": gap({**PEGGED, "main_thread_system_frac": 0.8}),
    "HOST005": gap({}, {"pcie_rx_bytes_s": 9e9}, **LINK),
    "HOST006": gap({"throttled_frac": 0.3}),
    "HOST007": gap({"remote_numa_frac": 1.0}),
    "HOST008": gap({"children_dstate_frac": 0.7}),
    "HOST010": gap(PEGGED, {"sm_active": 0.7, "gr_active": 0.8}),
    "HOST009": gap({"process_cpu_cores": 0.01}),
    "HOST011": gap({"stacks": stacks_of(gil=0.4, compute=0.6)}),
    "HOST012": gap({"stacks": stacks_of(tokenise=0.5, launch=0.1)}),
    "HOST013": gap({"stacks": stacks_of(serialise=0.5, launch=0.1)}),
    "HOST014": gap({"stacks": stacks_of(lock=0.7)}),
    "HOST015": gap({**PEGGED, "main_thread_wait_frac": 0.4, "cpus_allowed": 1}, {"sm_active": 0.1}),
    "HOST017": gap({**PEGGED, "stacks": stacks_of(collective=0.5, compute=0.2)}),
    "HOST016": gap({"stacks": stacks_of(checkpoint=0.4)}),
    "MEM001": roofed("memory", {"tensor_active": 0.0}, dram_roof_frac=0.8),
    "MEM002": roofed("memory", {"tensor_active": 0.1}, dram_roof_frac=0.8),
    "COMP001": roofed("compute", {"tensor_active": 0.7}, pipe="imma", pipe_roof_frac=0.9),
    "COMP002": roofed("compute", {"tensor_active": 0.0}, pipe="int_active", pipe_roof_frac=0.9),
    "DEV001": roofed("device", {"sm_active": 0.95}, dram_roof_frac=0.1, pipe_roof_frac=0.05),
    "DEV002": make_context(
        make_evidence(device=LOWERED, throttle_frac={"sw_power_cap": 0.9}), class_="compute", throttle=0.2
    ),
    "DEV003": make_context(make_evidence(throttle_frac={"hw_thermal": 0.9}), class_="compute", throttle=0.2),
    "DEV004": make_context(
        make_evidence(
            {"gr_active": 0.9}, device={**LINK, "pcie_gen_max": 4, "pcie_width": 8, "pcie_width_max": 16}
        )
    ),
    "DEV005": make_context(make_evidence(lost_reason="fallen off the bus"), class_="unknown"),
    "DEV006": make_context(make_evidence(device={"remap_pending": True})),
    "COMM001": make_context(class_="communication", communication=0.5),
    "DEV010": make_context(make_evidence(device={"sm_mhz_max": 1980.0, "sm_mhz_limit": 1200.0})),
    "DEV011": make_context(make_evidence({"has_process": False}, device={"persistence": False})),
    "DEV012": make_context(make_evidence(device={"xids": (31,)})),
    "DEV013": make_context(make_evidence(device={"pcie_replays": 40})),
    "DEV014": make_context(make_evidence(device={"ecc_corrected": 3})),
    "DEV015": make_context(
        make_evidence(throttle_frac={"hw_power_brake": 0.5, "hw_slowdown": 0.5}),
        class_="compute",
        throttle=0.2,
    ),
    "DEV016": make_context(
        make_evidence({"gr_active": 0.9}, device={"mem_mhz": 1000.0, "mem_mhz_max": 2619.0})
    ),
    "DEV017": make_context(
        make_evidence({"gr_active": 0.9}, device={"settled": False}), class_="compute", throttle=0.2
    ),
    "DEV018": make_context(
        make_evidence({"gr_active": 0.9, "sm_mhz": 1400.0}, device={"power_limit_w": 700.0}), ceilings=PROBED
    ),
    "DEV019": beside_siblings(1500.0, 1700.0, 1710.0),
    "DEV020": make_context(make_evidence(device={"mem_temp_c_max": 96.0})),
    "HOST020": gap({**PEGGED, "governor": "powersave"}, {"sm_active": 0.1}),
    "HOST021": make_context(make_evidence(host={"swap_growth_bytes": 1 << 30})),
    "HOST022": make_context(make_evidence(host={"psi_memory_frac": 0.3})),
    "HOST023": gap({**PEGGED, "main_thread_wait_frac": 0.4, "node_cpu_frac": 0.97}, {"sm_active": 0.1}),
    "HOST024": gap({"cpus_allowed": 2, "node_cores": 64}),
    "SW001": make_context(make_evidence(device={"driver_version": "525.60.13"})),
    **signatures.SIGNATURES,
    **serving.SIGNATURES,
    **traces.SIGNATURES,
}
# What only adds to a gap comes beside the finding that names the gap's cause.
BESIDE = {
    "HOST020": {"HOST002"},
    "HOST024": {"HOST001"},
    **signatures.BESIDE,
    **serving.BESIDE,
    **traces.BESIDE,
}


def test_every_rule_has_a_signature_here() -> None:
    assert set(SIGNATURES) == {rule.code for rule in all_rules()}


@pytest.mark.parametrize("code", sorted(SIGNATURES))
def test_a_rule_alone_fires_on_its_signature(code: str) -> None:
    assert set(codes(SIGNATURES[code])) == {code} | BESIDE.get(code, set())


def test_claims_carry_place_and_number() -> None:
    claim = only(SIGNATURES["HOST003"], "HOST003").claim
    assert claim.startswith("GPU 0 waits for the host 38 % of the time; the input pipeline cannot keep up")
    assert "8 of 8 children" in claim
    assert "16.0 GiB" in only(SIGNATURES["IDLE002"], "IDLE002").claim
    assert "0.80 of the card's DRAM roof" in only(SIGNATURES["MEM001"], "MEM001").claim


def test_a_mig_instance_is_named() -> None:
    ctx = make_context(make_evidence(mig="1g.10gb/7"), class_="idle", free=1.0)
    assert only(ctx, "IDLE001").claim.startswith("GPU 0 MIG 1g.10gb/7 was free")


def test_gaps_and_shares_too_small_are_not_named() -> None:
    assert codes(gap(WORKERS, share=0.1)) == []
    assert codes(make_context(class_="compute", free=0.1, idle_held=0.1, memory=0.1, device=0.1)) == []


def test_without_a_verdict_only_facts_are_reported() -> None:
    evidence = make_evidence({}, WORKERS, {"remap_failure": True})
    assert codes(make_context(evidence, class_="unknown", host=0.9)) == ["DEV006"]


def test_a_gap_beside_another_class_is_still_named() -> None:
    ctx = make_context(make_evidence({"gr_active": 0.7}, WORKERS), class_="memory", memory=0.7, host=0.3)
    assert set(codes(ctx)) == {"HOST003", "MEM001"}


def test_a_quota_is_named_beside_the_cause_that_leads() -> None:
    ctx = gap({**WORKERS, "throttled_frac": 0.06})
    assert set(codes(ctx)) == {"HOST003", "HOST006"}
    assert only(ctx, "HOST006").share == pytest.approx(0.06)


def test_far_cpus_are_a_lesser_finding_beside_the_cause_that_leads() -> None:
    ctx = gap({**WORKERS, "remote_numa_frac": 1.0, "gpu_numa_node": 1})
    assert codes(ctx) == ["HOST003", "HOST007"]
    assert only(ctx, "HOST007").severity == "low"
    assert "--cpunodebind=1" in only(ctx, "HOST007").actions[0]


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"cpus_allowed": 16, "main_thread_cpu_frac": 0.6}, "`num_workers` to 15"),
        ({"cpus_allowed": 64, "cpu_quota_cores": 12.0, "main_thread_cpu_frac": None}, "`num_workers` to 11"),
        ({"cpus_allowed": 16}, "`num_workers` to 16 (16 cores are allowed)"),
        ({"cpus_allowed": 8, "process_cpu_cores": 7.9}, "All of its 8 cores are taken: ask for more"),
        ({"cpus_allowed": 8, "process_cpu_cores": 4.0}, "8 cores are allowed, for 8 children: ask for more"),
        (ONE_WORKER | {"cpus_allowed": 2}, "`num_workers` to 2 (2 cores are allowed)"),
        (ONE_WORKER | {"cpus_allowed": 1}, "All of its 1 core is taken"),
        ({}, "while cores are free"),
    ],
)
def test_workers_grow_only_with_the_cores_allowed(host: dict[str, Any], words: str) -> None:
    assert words in "\n".join(only(gap({**WORKERS, **host}), "HOST003").actions)


def test_a_process_that_is_not_visible_is_not_to_be_looked_into() -> None:
    hidden, seen = only(gap({}), "HOST001"), only(gap({"cpus_allowed": 8}), "HOST001")
    assert "is not visible from here" in hidden.claim
    assert "--pid=host" in hidden.actions[0]
    assert not any("--stacks" in action or "py-spy" in action for action in hidden.actions)
    assert "advisor diagnose --stacks --pid 4242" in seen.actions[0]


def test_a_whole_core_is_claimed_only_where_one_was_counted() -> None:
    stacks = stacks_of(decode=0.9)
    unknown = only(gap({"stacks": stacks}, {"sm_active": 0.9}), "HOST010")
    assert "whole core" not in unknown.claim
    assert "whole core" in only(gap({**PEGGED, "stacks": stacks}, {"sm_active": 0.9}), "HOST010").claim
    assert "HOST010" not in codes(gap({"main_thread_cpu_frac": 0.01, "stacks": stacks}, {"sm_active": 0.9}))


def test_a_shortage_of_cores_leaves_what_the_thread_does_beside_it() -> None:
    host = {"main_thread_cpu_frac": 0.5, "main_thread_wait_frac": 0.45, "cpus_allowed": 2}
    ctx = gap({**host, "stacks": stacks_of(serialise=1.0)})
    assert set(codes(ctx)) == {"HOST013", "HOST015"}
    assert only(ctx, "HOST013").confidence < only(ctx, "HOST015").confidence


def test_a_suspicion_says_how_to_settle_it() -> None:
    quiet = {"process_cpu_cores": 0.01, "main_thread_cpu_frac": 0.0}
    assert "`advisor diagnose --stacks --pid 4242`" in only(gap(quiet), "HOST009").actions[0]
    looked = only(gap({**quiet, "stacks": stacks_of(idle=1.0)}), "HOST009")
    assert not any("--stacks" in action for action in looked.actions)


@pytest.mark.parametrize(("activity", "words"), [("queue_wait", "a queue"), ("child", "a child process")])
def test_what_the_thread_waits_for_is_named(activity: str, words: str) -> None:
    shares: dict[str, Any] = {activity: 0.8}
    claim = only(gap({"stacks": stacks_of(**shares)}), "HOST014").claim
    assert claim.endswith(f"the thread that feeds it waits for {words}.")


def test_the_effect_of_a_gap_lies_between_half_the_gain_and_its_bound() -> None:
    effect = only(SIGNATURES["HOST003"], "HOST003").effect
    assert effect is not None
    assert effect.bound == pytest.approx(1 / 0.62)
    assert effect.low == pytest.approx(1 / (1 - 0.38 / 2))
    assert effect.high == effect.bound


def test_launching_less_is_never_promised_over_the_bound() -> None:
    small, large = (
        only(gap(PEGGED, {"sm_active": 0.1}, share=0.2), "HOST002"),
        only(gap(PEGGED, {"sm_active": 0.02}, share=0.9), "HOST002"),
    )
    assert small.effect is not None
    assert small.effect.high == pytest.approx(1.25)
    assert small.usd_h == pytest.approx(10 * 0.2)
    assert large.usd_h == pytest.approx(10 * 0.9)
    assert large.effect is not None
    assert (large.effect.low, large.effect.high) == pytest.approx((1.03, 10.0))


def test_a_suspicion_is_less_sure_than_a_count() -> None:
    suspicion, count = only(SIGNATURES["HOST004"], "HOST004"), only(SIGNATURES["HOST006"], "HOST006")
    assert suspicion.confidence < 0.5 < count.confidence


def test_lower_precision_may_turn_out_slower() -> None:
    effect = only(SIGNATURES["COMP005"], "COMP005").effect
    assert effect is not None
    assert effect.low < 1.0 < effect.high <= 1.75
    assert "measured" in effect.basis


def test_tensor_cores_are_promised_only_as_far_as_the_ceilings_say() -> None:
    effect = only(SIGNATURES["COMP003"], "COMP003").effect
    assert effect is not None
    assert effect.low == 1.0
    assert effect.high == pytest.approx(1 / (0.1 + 0.9 / 8))
    unknown = make_context(
        make_evidence({"gr_active": 1.0, "tensor_active": 0.0}),
        class_="compute",
        compute=0.9,
        ceilings=None,
        verdict={"pipe": "fp32", "pipe_roof_frac": 0.9},
    )
    assert only(unknown, "COMP002").effect is None


def test_without_a_pipe_compute_is_said_to_rest_on_power() -> None:
    ctx = roofed("compute", {}, tier="nvml", pipe=None, pipe_roof_frac=0.9)
    assert "as far as its power tells" in only(ctx, "COMP001").claim


def test_dollars_of_a_roof_are_the_distance_to_it_and_within_the_ladder() -> None:
    assert only(SIGNATURES["MEM001"], "MEM001").usd_h == pytest.approx(10 * 0.9 * 0.2)
    far = roofed("memory", {"tensor_active": 0.0}, dram_roof_frac=0.1)
    assert only(far, "MEM001").usd_h == pytest.approx(10 * 0.3)


def test_at_the_roof_the_finding_is_information() -> None:
    ctx = make_context(
        make_evidence({"gr_active": 1.0, "tensor_active": 0.9}),
        class_="compute",
        compute=0.95,
        useful=0.94,
        verdict={"pipe": "hmma", "pipe_roof_frac": 0.99, "roofs": {"compute": 0.99}},
    )
    assert only(ctx, "COMP001").severity == "info"


@pytest.mark.parametrize(
    ("counters", "code", "words"),
    [
        ({"sm_active": 0.1}, "DEV007", "use 10 % of the SMs"),
        ({"sm_active": 0.9, "sm_occupancy": 0.1}, "DEV008", "10 % of the warp slots"),
        ({"sm_active": 0.6}, "DEV009", "on average 40 % of the SMs have no work"),
        ({"sm_active": 0.95}, "DEV001", "wait on latency"),
        ({}, "DEV001", "its SMs is unknown, because the counter was not read"),
    ],
)
def test_why_a_busy_device_is_slow(counters: dict[str, Any], code: str, words: str) -> None:
    ctx = roofed("device", counters, dram_roof_frac=0.3, pipe_roof_frac=0.2)
    assert words in only(ctx, code).claim
    assert [c for c in codes(ctx) if c.startswith("DEV")] == [code]


def test_room_in_memory_suggests_a_larger_batch() -> None:
    small = make_evidence({"gr_active": 1.0}, mem_used_bytes=8 << 30)
    full = make_evidence({"gr_active": 1.0}, mem_used_bytes=70 << 30)
    advice = [only(make_context(e, class_="device", device=0.9), "DEV001").actions[0] for e in (small, full)]
    assert "10 % of device memory is in use" in advice[0]
    assert "batch" not in advice[1]


def test_a_lowered_power_limit_is_named_with_its_remedy_even_where_it_costs_nothing() -> None:
    device = {"power_limit_w": 500.0, "power_limit_default_w": 700.0}
    evidence = make_evidence(device=device, throttle_frac={"sw_power_cap": 0.9})
    found = only(make_context(evidence, class_="memory", memory=0.1), "DEV002")
    assert "500 W, below its default" in found.claim
    assert "-pl 700" in found.actions[0]
    assert found.severity == "info"
    default = make_evidence(device={**device, "power_limit_w": 700.0}, throttle_frac={"sw_power_cap": 0.9})
    assert codes(make_context(default, class_="memory", memory=0.1)) == []


def test_power_and_heat_share_what_clocks_cost() -> None:
    evidence = make_evidence(device=LOWERED, throttle_frac={"sw_power_cap": 0.6, "sw_thermal": 0.2})
    ctx = make_context(evidence, class_="compute", throttle=0.4)
    assert only(ctx, "DEV002").share == pytest.approx(0.3)
    assert only(ctx, "DEV003").share == pytest.approx(0.1)


def test_what_heat_costs_is_not_blamed_on_a_boards_own_power_limit() -> None:
    evidence = make_evidence(throttle_frac={"sw_power_cap": 1.0, "sw_thermal": 0.2})
    ctx = make_context(evidence, class_="compute", throttle=0.1)
    assert codes(ctx) == ["DEV003"]
    assert only(ctx, "DEV003").share == pytest.approx(0.1)


def test_a_link_is_judged_only_under_load() -> None:
    narrow = {"pcie_gen": 1, "pcie_gen_max": 5, "pcie_width": 16, "pcie_width_max": 16}
    assert codes(make_context(make_evidence({"gr_active": 0.0}, device=narrow))) == []
    assert codes(make_context(make_evidence({}, device=narrow))) == []
    loaded = only(make_context(make_evidence({"gr_active": 0.9}, device=narrow)), "DEV004")
    assert "gen 1 x16 while gen 5 x16" in loaded.claim
    assert loaded.confidence < only(SIGNATURES["DEV004"], "DEV004").confidence


def test_a_slow_link_costs_the_time_its_copies_would_save() -> None:
    device = {"pcie_gen": 4, "pcie_gen_max": 4, "pcie_width": 8, "pcie_width_max": 16}
    evidence = make_evidence({"gr_active": 0.9, "pcie_rx_bytes_s": 25.5e9 / 10}, device=device)
    assert only(make_context(evidence, host=0.14), "DEV004").share == pytest.approx(0.1)


def test_copies_hidden_behind_work_cost_nothing() -> None:
    device = {"pcie_gen": 4, "pcie_gen_max": 4, "pcie_width": 8, "pcie_width_max": 16}
    evidence = make_evidence({"gr_active": 0.9, "pcie_rx_bytes_s": 25.5e9 / 4}, device=device)
    assert only(make_context(evidence, host=0.1), "DEV004").share == pytest.approx(0.1)
    assert only(make_context(evidence), "DEV004").share == 0.0


def test_a_silent_driver_and_a_lost_gpu_are_critical() -> None:
    silent = only(make_context(make_evidence(silent_since_s=4.0), class_="unknown"), "DEV005")
    assert (silent.severity, silent.claim) == ("critical", "GPU 0 has not answered for 6 s.")
    assert only(SIGNATURES["DEV005"], "DEV005").claim == "GPU 0 is lost: fallen off the bus."


@pytest.mark.parametrize(
    ("device", "severity"),
    [
        ({"remap_failure": True, "remap_pending": True}, "critical"),
        ({"ecc_uncorrected": 3}, "high"),
        ({"remap_pending": True}, "medium"),
    ],
)
def test_memory_errors_by_their_gravity(device: dict[str, Any], severity: str) -> None:
    assert only(make_context(make_evidence(device=device)), "DEV006").severity == severity


def test_sound_memory_is_silent() -> None:
    sound = {"ecc_uncorrected": 0, "remap_pending": False, "remap_failure": False}
    assert codes(make_context(make_evidence(device=sound), class_="compute")) == []
