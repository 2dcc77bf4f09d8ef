"""Ranks: matched by when collectives end, waits without clocks, stragglers that are none by chance."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from advisor.traces import rank_groups
from advisor.traces.analyse import analyse
from advisor.traces.rank_matching import Matched, match
from advisor.traces.rank_members import Collectives, kind_of
from advisor.traces.ranks import rank_figures
from advisor.traces.read import read
from rules.traces.records import RankFigures
from tests.advisor.traces.made import Maker
from tests.advisor.traces.real import trace
from tests.advisor.traces.stepping import analysed, loop, rank

Times = tuple[list[list[float]], list[float]]


def _times(
    ranks: int, count: int = 40, *, late: int | None = None, seed: int = 1, spread: float = 60.0
) -> Times:
    """Arrivals by rank, and the common ends: 1 ms of work, 0.2 ms of transfer after the last arrival."""
    draw = random.Random(seed)
    arrivals: list[list[float]] = [[] for _ in range(ranks)]
    ends: list[float] = []
    now = 0.0
    for _ in range(count):
        work = [1_000.0 + draw.uniform(0.0, spread) + (300.0 if r == late else 0.0) for r in range(ranks)]
        for number, one in enumerate(work):
            arrivals[number].append(now + one)
        now += max(work) + 200.0
        ends.append(now)
    return arrivals, ends


def _ranks(folder: Path, *made: Maker) -> RankFigures:
    found = analysed(folder, *made)
    figures = rank_figures(found.timelines, found.attributions)
    assert figures is not None
    return figures


def test_a_planted_straggler_is_found_whatever_the_clocks_say(tmp_path: Path) -> None:
    arrivals, ends = _times(4, late=2)
    clocks = (0.0, 123_456.0, 9_876_543.0, 31.0)
    found = _ranks(tmp_path, *(rank(r, arrivals[r], ends, of=4, clock_us=clocks[r]) for r in range(4)))
    assert found.straggler == 2
    assert "rank 2 came last to 40 of 40" in found.straggler_because
    rows = {row.rank: row for row in found.rows}
    assert rows[2].wait_us == pytest.approx(0.0)
    assert rows[2].last_frac == 1.0
    waited = sum(arrivals[2][i] - arrivals[0][i] for i in range(40))
    assert rows[0].wait_us == pytest.approx(waited, abs=1.0)
    assert rows[0].wait_exposed_us == pytest.approx(waited, abs=1.0)
    assert found.collectives[0].name == "AllReduce"
    assert (found.collectives[0].count, found.collectives[0].last_rank) == (40, 2)
    assert found.missing == 0


def test_ranks_that_come_last_in_turn_have_no_straggler(tmp_path: Path) -> None:
    arrivals, ends = _times(4)
    found = _ranks(tmp_path, *(rank(r, arrivals[r], ends, of=4) for r in range(4)))
    assert found.straggler is None
    assert found.straggler_because.startswith("none stands out")
    assert (found.wait_frac or 0.0) > 0.0


def test_two_ranks_by_chance_have_no_straggler(tmp_path: Path) -> None:
    for seed in range(6):
        arrivals, ends = _times(2, seed=seed)
        found = _ranks(tmp_path, *(rank(r, arrivals[r], ends) for r in range(2)))
        assert found.straggler is None


def test_late_in_one_half_alone_is_no_straggler(tmp_path: Path) -> None:
    arrivals, ends = _times(3, count=20, late=1)
    more, later = _times(3, count=20, seed=2)
    shift = ends[-1]
    both = [[*arrivals[r], *(at + shift for at in more[r])] for r in range(3)]
    found = _ranks(
        tmp_path, *(rank(r, both[r], [*ends, *(e + shift for e in later)], of=3) for r in range(3))
    )
    assert found.straggler is None
    assert "both halves" in found.straggler_because or "chance" in found.straggler_because


def test_captures_that_lost_collectives_are_matched_by_their_ends_and_not_by_order(tmp_path: Path) -> None:
    """By order each pair after the first loss would be a wrong one, with waits of a millisecond."""
    arrivals, ends = _times(2, late=1)
    kept = (lambda index: index % 7 != 0, lambda index: index % 5 != 1)
    found = _ranks(
        tmp_path, *(rank(r, arrivals[r], ends, clock_us=777.0 * r, keep=kept[r]) for r in range(2))
    )
    both = [index for index in range(40) if kept[0](index) and kept[1](index)]
    assert found.rows[0].matched == len(both)
    assert found.rows[0].wait_us == pytest.approx(sum(arrivals[1][i] - arrivals[0][i] for i in both), abs=1.0)
    assert f"{len(both)} of" in found.notes[0]


def test_captures_that_begin_elsewhere_are_matched(tmp_path: Path) -> None:
    arrivals, ends = _times(2, late=1)
    made = rank(0, arrivals[0], ends), rank(1, arrivals[1], ends, keep=lambda index: index >= 15)
    found = _ranks(tmp_path, *made)
    assert found.rows[0].matched == 25
    assert found.straggler == 1


def test_ranks_that_share_no_moment_are_not_held_against_each_other(tmp_path: Path) -> None:
    first, second = _times(2, seed=1, spread=2_000.0), _times(2, seed=99, spread=2_000.0)
    found = _ranks(tmp_path, rank(0, first[0][0], first[1]), rank(1, second[0][1], second[1]))
    assert found.rows[0].wait_us is None
    assert found.straggler is None
    assert "too few to tell which is which" in found.unknown["waits of rank 0"]


def test_clocks_that_drift_are_followed(tmp_path: Path) -> None:
    """200 ppm over 0.6 s are 120 µs, more than ends may differ that lie 1.5 ms apart."""
    arrivals, ends = _times(2, count=400, late=1)
    made = rank(1, [a * 1.0002 for a in arrivals[1]], [e * 1.0002 for e in ends])
    found = _ranks(tmp_path, rank(0, arrivals[0], ends), made)
    assert (found.rows[0].matched or 0) >= 390


def _in_group(made: Maker, name: str, ranks: str, collective: str = "allreduce", every: int = 1) -> Maker:
    """Names the process group of every n-th collective, and leaves the others in the group of all."""
    found = [e for e in made.events if e.get("cat") == "kernel" and e["name"].startswith("nccl")]
    for index, event in enumerate(found):
        told = (name, ranks, collective) if index % every == 0 else ("0", "[0, 1, 2, 3]", "allreduce")
        keys = ("Process Group Name", "Process Group Ranks", "Collective name")
        event["args"].update(zip(keys, told, strict=True))
    return made


def test_collectives_of_other_process_groups_are_not_taken_for_one_another(tmp_path: Path) -> None:
    """Every second one is of a group that the other rank is not in, though it ends at the same moment."""
    arrivals, ends = _times(2, late=1)
    made = [rank(r, arrivals[r], ends, of=4) for r in range(2)]
    groups = ("[0, 2]", "[1, 3]")
    found = _ranks(tmp_path, *(_in_group(made[r], f"dp{r}", groups[r], every=2) for r in range(2)))
    assert [(row.matched, row.collectives) for row in found.rows] == [(20, 40), (20, 40)]
    shared = [index for index in range(40) if index % 2]
    waited = sum(arrivals[1][index] - arrivals[0][index] for index in shared)
    assert found.rows[0].wait_us == pytest.approx(waited, abs=1.0)
    assert found.collectives[0].count == 20
    assert "40 collectives are of process groups of which one rank alone is here" in found.notes[0]
    assert "process groups" not in found.unknown


def test_ranks_of_several_process_groups_are_told_of_all_of_them(tmp_path: Path) -> None:
    arrivals, ends = _times(4, late=2)
    named = [("a", "[0, 1]"), ("a", "[0, 1]"), ("b", "[2, 3]"), ("b", "[2, 3]")]
    made = [_in_group(rank(r, arrivals[r], ends, of=4), *named[r], every=2) for r in range(4)]
    found = _ranks(tmp_path, *made)
    assert [row.matched for row in found.rows] == [40, 40, 40, 40]
    assert found.straggler == 2
    assert found.rows[0].wait_us == pytest.approx(
        sum(max(0.0, (arrivals[2] if i % 2 else arrivals[1])[i] - arrivals[0][i]) for i in range(40)), abs=1.0
    )


def test_no_rank_of_a_process_group_alone_is_held_against_others(tmp_path: Path) -> None:
    arrivals, ends = _times(2, late=1)
    found = _ranks(
        tmp_path,
        _in_group(rank(0, arrivals[0], ends, of=4), "5", "[0, 2]"),
        _in_group(rank(1, arrivals[1], ends, of=4), "6", "[1, 3]"),
    )
    assert [row.wait_us for row in found.rows] == [None, None]
    assert "no other rank's trace is here" in found.unknown["waits of rank 0"]


def test_transfers_between_two_of_many_ranks_say_nothing_of_the_others(tmp_path: Path) -> None:
    arrivals, ends = _times(2, late=1)
    made = [rank(r, arrivals[r], ends, of=4) for r in range(2)]
    found = _ranks(tmp_path, *(_in_group(one, "0", "[0, 1, 2, 3]", "send") for one in made))
    assert found.rows[0].matched is None
    assert "80 transfers between two of many ranks" in found.notes[0]
    pair = _ranks(tmp_path, *(_in_group(one, "1", "[0, 1]", "send") for one in made))
    assert pair.rows[0].matched == 40


def test_unnamed_process_groups_are_said_to_be_unknown(tmp_path: Path) -> None:
    arrivals, ends = _times(3, late=1)
    found = _ranks(tmp_path, *(rank(r, arrivals[r], ends, of=3) for r in range(3)))
    assert "do not name the process groups" in found.unknown["process groups"]
    assert found.unknown["process groups"] in found.notes
    two = _ranks(tmp_path, *(rank(r, arrivals[r], ends) for r in range(2)))
    assert two.unknown == {}


def test_files_that_do_not_say_their_rank_get_numbers_that_no_other_has(tmp_path: Path) -> None:
    arrivals, ends = _times(3)
    made = [rank(r, arrivals[r], ends, of=3) for r in (0, 0, 1)]
    made[0].rank = made[2].rank = None
    made[1].rank = 0
    found = _ranks(tmp_path, *made)
    assert found.refused is None
    assert [(row.rank, row.file) for row in found.rows] == [(0, 1), (1, 0), (2, 2)]


def test_ranks_that_do_not_match_are_not_all_held_against_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each pair is looked at once, and some hundred pairs at most, however many ranks there are."""
    tried: list[tuple[int, int]] = []

    def counted(a: Collectives, b: Collectives) -> Matched:
        tried.append((id(a), id(b)))
        return match(a, b)

    strangers = [_times(1, count=12, seed=seed, spread=2_000.0) for seed in range(14)]
    made = analysed(tmp_path, *(rank(r, s[0][0], s[1], of=14) for r, s in enumerate(strangers)))
    monkeypatch.setattr(rank_groups, "match", counted)
    found = rank_figures(made.timelines, made.attributions)
    assert found is not None
    assert len(tried) == len(set(tried)) <= 32 + 2 * 14
    assert len([name for name in found.unknown if name.startswith("waits of rank")]) >= 10


def test_kinds_of_collectives_may_be_many(tmp_path: Path) -> None:
    arrivals, ends = _times(2, count=3_000, late=1)
    made = [rank(r, arrivals[r], ends) for r in range(2)]
    for one in made:
        for index, event in enumerate(e for e in one.events if str(e["name"]).startswith("nccl")):
            event["name"] = f"ncclKernel_unheard_of_{index}"
    assert _ranks(tmp_path, *made).rows[0].matched == 3_000


def test_work_is_compared_without_communication(tmp_path: Path) -> None:
    arrivals, ends = _times(2, late=1)
    found = _ranks(tmp_path, rank(0, arrivals[0], ends), rank(1, arrivals[1], ends))
    less, more = found.rows
    assert more.work_us - less.work_us == pytest.approx(40 * 300.0, rel=0.1)
    assert found.imbalance_frac == pytest.approx(1 - (less.work_us + more.work_us) / 2 / more.work_us)


def test_a_rank_given_twice_is_refused(tmp_path: Path) -> None:
    arrivals, ends = _times(2)
    found = _ranks(tmp_path, rank(0, arrivals[0], ends), rank(0, arrivals[1], ends))
    assert found.refused is not None
    assert "rank 0 is there 2 times" in found.refused
    assert found.rows[0].wait_us is None
    assert found.imbalance_frac is None


def test_ranks_of_jobs_of_other_sizes_are_refused(tmp_path: Path) -> None:
    arrivals, ends = _times(2)
    found = _ranks(tmp_path, rank(0, arrivals[0], ends, of=2), rank(1, arrivals[1], ends, of=8))
    assert "different sizes" in (found.refused or "")


def test_captures_far_apart_are_refused(tmp_path: Path) -> None:
    arrivals, ends = _times(2)
    found = _ranks(tmp_path, rank(0, arrivals[0], ends), rank(1, arrivals[1], ends, clock_us=3.6e9))
    assert "not of one moment" in (found.refused or "")


def test_a_rank_alone_tells_what_is_missing(tmp_path: Path) -> None:
    arrivals, ends = _times(2)
    found = _ranks(tmp_path, rank(0, arrivals[0], ends, of=16))
    assert (found.world_size, found.missing, found.straggler) == (16, 15, None)
    assert "give the files of other ranks" in found.unknown["waits"]


def test_a_trace_without_ranks_has_none(tmp_path: Path) -> None:
    found = analysed(tmp_path, loop([100.0] * 3))
    assert rank_figures(found.timelines, found.attributions) is None


def test_two_unrelated_traces_are_no_ranks(tmp_path: Path) -> None:
    found = analysed(tmp_path, loop([100.0] * 3), loop([100.0] * 3))
    assert rank_figures(found.timelines, found.attributions) is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclDevComm*)", "AllReduce"),
        ("ncclKernel_SendRecv_RING_SIMPLE_Sum_int8_t(ncclDevComm*, unsigned long, ncclWork*)", "SendRecv"),
        ("ncclDevKernel_ReduceScatter_Sum_bf16_RING_LL(ncclDevComm*)", "ReduceScatter"),
        ("void at::native::elementwise_kernel<128, 4>(int)", None),
    ],
)
def test_what_a_collective_does(name: str, kind: str | None) -> None:
    assert kind_of(name) == kind


# --- real traces ----------------------------------------------------------------------------------


def _real(*names: str) -> RankFigures:
    found = analyse([read(trace(name)) for name in names], lambda *_: None)
    assert found.report.ranks is not None
    return found.report.ranks


def test_two_real_sampled_ranks_share_half_of_their_collectives() -> None:
    """Five of ten end together, by hand from the raw events; waits are differences of their durations:
    62,783 - 57,924, 11,727 - 8,370, 36,158 - 13,838 and 63,644 - 62,163 µs; 42,744 - 42,496 the other way."""
    found = _real("sampled_rank0_of_128.json.gz", "sampled_rank1_of_128.json.gz")
    assert [(row.matched, row.collectives) for row in found.rows] == [(5, 10), (5, 10)]
    assert [row.wait_us for row in found.rows] == [4_859.0 + 3_357.0 + 22_320.0 + 1_481.0, 248.0]
    assert (found.world_size, found.missing) == (128, 126)
    assert found.straggler is None


def test_two_devices_of_one_real_file_are_ranks() -> None:
    found = _real("nsys_2gpu.sqlite")
    assert [row.rank for row in found.rows] == [0, 1]
    assert [row.matched for row in found.rows] == [33, 33]
    assert sum(row.wait_us or 0.0 for row in found.rows) > 0.0
