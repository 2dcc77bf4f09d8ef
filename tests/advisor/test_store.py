"""Stored probe runs: nothing good is lost; a run of one probe keeps what a full one found."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor import locations, store
from advisor.ceilings import ceilings_for
from advisor.store import KEPT, MAX_LINE_BYTES, Store, StoreError, merged, stored_ceilings
from advisor.telemetry.records import DeviceInfo
from probes.derive import is_ceiling
from probes.record import Measurement, ProbeReport
from tests.probes.reports import DAY_S, T0_S, VERSIONS, facts, full, key, report, take

KEY = key(0)


@pytest.fixture
def kept(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "state" / "ceilings")


def at(day: float, *takes: Measurement, **changes: Any) -> ProbeReport:
    """A run on a day."""
    return report(*takes, **{"t_s": T0_S + day * DAY_S, **changes})


def figures(found: ProbeReport | None) -> dict[str, float | None]:
    return {m.metric: m.value for m in found.measurements} if found else {}


def test_a_run_comes_back_as_it_was(kept: Store) -> None:
    path = kept.add(full())
    assert kept.history(KEY) == (full(),)
    assert kept.keys() == (KEY,)
    assert kept.warnings == []
    assert path.read_bytes().endswith(b"}\n")


def test_files_and_folders_are_private(kept: Store) -> None:
    path = kept.add(full())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.folder.stat().st_mode) == 0o700


def test_the_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVISOR_STATE_DIR", str(tmp_path / "here"))
    assert Store().folder == tmp_path / "here" / "ceilings"
    assert locations.state_dir({"ADVISOR_STATE_DIR": "~/x"}) == Path.home() / "x"
    monkeypatch.delenv("ADVISOR_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert Store().folder == tmp_path / "xdg" / "advisor" / "ceilings"
    assert not (tmp_path / "xdg").exists(), "asking for a path creates nothing"


def test_nothing_stored_is_no_error(kept: Store) -> None:
    assert (kept.history(KEY), kept.latest(KEY), kept.keys(), kept.warnings) == ((), None, (), [])


@given(st.lists(st.text(max_size=80), min_size=2, max_size=8, unique=True))
def test_file_names_stay_inside_and_differ(names: list[str]) -> None:
    folder = Path("/nowhere")
    paths = [Store(folder).path(name) for name in names]
    assert len(set(paths)) == len(names)
    for path in paths:
        assert path.parent == folder
        assert path.name.isascii()
        assert len(path.name) < 100


@pytest.mark.parametrize(
    "hostile", ["../../etc/passwd", "/etc/passwd", "", ".", "a\nb", "x" * 5000, "\udcff"]
)
def test_hostile_keys_do_no_harm(kept: Store, hostile: str) -> None:
    made = full(device=facts(key=hostile))
    if hostile == "\udcff":
        with pytest.raises(StoreError, match="no text"):
            kept.add(made)
        return
    kept.add(made)
    assert kept.history(hostile) == (made,)
    assert kept.keys() == (hostile,)
    assert [p.parent for p in kept.folder.parent.rglob("*.jsonl")] == [kept.folder]


BAD_LINES = [
    b"garbage",
    b"",
    b"{}",
    b"null",
    b'{"type": "hello"}',
    b"\xff\xfe\x00",
    b"[" * 100_000,
    msgspec.json.encode(full())[:-40],
    msgspec.json.encode(full(device=facts(3))),
    b"x" * (MAX_LINE_BYTES + 10),
]


@pytest.mark.parametrize("bad", BAD_LINES, ids=range(len(BAD_LINES)))
@pytest.mark.parametrize("ended", [True, False])
def test_a_bad_line_never_hides_a_good_one(kept: Store, bad: bytes, ended: bool) -> None:
    path = kept.add(at(0, take("bf16")))
    with path.open("ab") as file:
        file.write(bad + b"\n" * ended)
    kept.add(at(1, take("bf16", 2.0)))
    assert [r.t_s for r in kept.history(KEY)] == [T0_S, T0_S + DAY_S]
    assert bool(kept.warnings) == bool(bad)
    assert len(kept.warnings) < 2
    kept.history(KEY)
    assert len(kept.warnings) < 2, "said once"


def test_a_file_cut_anywhere_keeps_what_came_before(kept: Store) -> None:
    path = kept.add(at(0, take("bf16")))
    whole = path.stat().st_size
    kept.add(at(1, take("bf16")))
    data = path.read_bytes()
    for end in (whole, whole + 1, whole + 100, len(data) - 2):
        path.write_bytes(data[:end])
        assert len(kept.history(KEY)) == 1
        kept.add(at(2, take("bf16")))
        assert len(kept.history(KEY)) == 2
    path.write_bytes(data[:-1])
    assert len(kept.history(KEY)) == 2, "only the newline is missing"


def test_a_huge_file_is_read_from_its_end(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kept.add(at(0, take("bf16")))
    size = path.stat().st_size
    for day in range(1, 6):
        kept.add(at(day, take("bf16")))
    monkeypatch.setattr(store, "MAX_FILE_BYTES", int(size * 2.5))
    assert [r.t_s for r in kept.history(KEY)] == [T0_S + 4 * DAY_S, T0_S + 5 * DAY_S]


def test_history_is_bounded(kept: Store) -> None:
    path = kept.path(KEY)
    kept.folder.mkdir(parents=True)
    lines = [msgspec.json.encode(at(day, take("bf16"))) + b"\n" for day in range(KEPT)]
    path.write_bytes(b"".join(lines) + b"garbage\n")
    kept.add(at(KEPT, take("bf16")))
    days = [(r.t_s - T0_S) / DAY_S for r in kept.history(KEY)]
    assert days == list(range(1, KEPT + 1))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"garbage" not in path.read_bytes()


WRITER = """
import sys
from pathlib import Path
from advisor import store
from advisor.store import Store
from tests.probes.reports import full
store.KEPT = int(sys.argv[4])
kept = Store(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for i in range(int(sys.argv[3])):
    kept.add(full(t_s=float(sys.argv[2]) + i))
"""


@pytest.mark.parametrize(("each", "most"), [(20, 100), (20, 10)])
def test_two_processes_at_once_lose_nothing(kept: Store, each: int, most: int) -> None:
    """Also where the file is written anew meanwhile."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(kept.folder), str(start), str(each), str(most)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        for start in (1_000_000, 2_000_000)
    ]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    for writer in writers:
        writer.communicate(b"go\n", timeout=60)
        assert writer.returncode == 0
    found = kept.history(KEY)
    assert kept.warnings == []
    assert len(found) == min(most, 2 * each)
    for start in (1_000_000, 2_000_000):
        own = [r.t_s - start for r in found if start <= r.t_s < start + each]
        assert own == list(range(each - len(own), each)), "the newest of each, in order"
    assert list(kept.folder.iterdir()) == [kept.path(KEY)], "no temporary file stays"


def test_a_held_lock_is_waited_for_and_then_said(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kept.add(full())
    monkeypatch.setattr(store, "_LOCK_WAIT_S", 0.05)
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="holds its lock") as caught:
            kept.add(full())
    assert "wait" in caught.value.fix
    assert len(kept.history(KEY)) == 1


def test_without_locks_one_write_must_do(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_args: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", none)
    kept.add(full())
    assert len(kept.history(KEY)) == 1


@pytest.mark.parametrize("written", [0, 7])
def test_a_full_disk_leaves_what_was_there(
    kept: Store, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    path = kept.add(full())
    before, real = path.read_bytes(), os.write

    def full_disk(handle: int, data: bytes) -> int:
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle, data[:written])

    monkeypatch.setattr(os, "write", full_disk)
    with pytest.raises(StoreError, match="No space left") as caught:
        kept.add(full())
    assert "free some space" in caught.value.fix
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        Store(tmp_path / "file" / "ceilings").add(full())
    assert "ADVISOR_STATE_DIR" in caught.value.fix
    lost = Store(tmp_path / "ceilings")
    lost.path(KEY).mkdir(parents=True)
    with pytest.raises(StoreError):
        lost.add(full())
    assert lost.history(KEY) == ()
    assert lost.warnings


def test_a_link_to_a_device_that_never_ends_is_not_read(kept: Store) -> None:
    kept.add(report())
    kept.path(KEY).unlink()
    kept.path(KEY).symlink_to("/dev/zero")
    assert kept.history(KEY) == ()
    assert "not a plain file" in kept.warnings[0]


def test_a_pipe_in_place_of_the_file_blocks_nobody(kept: Store) -> None:
    kept.folder.mkdir(parents=True)
    os.mkfifo(kept.path(KEY))
    assert kept.history(KEY) == ()
    with pytest.raises(StoreError, match="not a plain file"):
        kept.add(full())


def test_what_json_cannot_hold_is_refused(kept: Store) -> None:
    with pytest.raises(StoreError, match="cannot be read back"):
        kept.add(full(t_s=float("nan")))
    assert kept.history(KEY) == ()


def test_a_partial_run_keeps_what_a_full_one_found(kept: Store) -> None:
    kept.add(at(0, take("dram_copy", 3.0), take("bf16", 7.0), take("int8", None, valid="failed", reason="x")))
    kept.add(at(1, take("dram_copy", 3.1)))
    found = kept.latest(KEY)
    assert found is not None
    assert figures(found) == {"dram_copy": 3.1, "bf16": 7.0, "int8": None}
    assert found.t_s == T0_S, "no fresher than its oldest figure"


def test_a_newer_figure_that_is_not_usable_replaces_none(kept: Store) -> None:
    kept.add(at(0, take("dram_copy", 3.0)))
    kept.add(at(1, take("dram_copy", 1.0, valid="degraded", reason="shared"), take("l2_read", 9.0)))
    assert figures(kept.latest(KEY)) == {"dram_copy": 3.0, "l2_read": 9.0}


def test_a_quick_figure_does_not_replace_a_held_one(kept: Store) -> None:
    kept.add(at(0, take("bf16", 8.0, sustained=7.0)))
    kept.add(at(1, take("bf16", 8.1)))
    assert figures(kept.latest(KEY)) == {"bf16": 7.0}
    kept.add(at(2, take("bf16", 8.1, sustained=7.2)))
    assert figures(kept.latest(KEY)) == {"bf16": 7.2}


@pytest.mark.parametrize(
    "other",
    [
        {"versions": {**VERSIONS, "driver": "570.1"}},
        {"versions": {**VERSIONS, "torch": "2.8.0"}},
        {"versions": {**VERSIONS, "cupy": "13.4.1"}},
        {"method_version": 99},
        {"contended": "python holds 3 GiB"},
        {"device": facts(mig_profile="1g.10gb")},
        {"device": facts(power_limit_w=500.0)},
        {"device": facts(ecc_enabled=False)},
    ],
)
def test_only_runs_under_the_same_conditions_are_merged(other: dict[str, Any]) -> None:
    old, new = at(0, take("bf16", 7.0), **other), at(1, take("dram_copy", 3.0))
    assert figures(merged([old, new])) == {"dram_copy": 3.0}


def test_a_version_that_one_run_does_not_name_is_no_conflict() -> None:
    old = at(0, take("bf16", 7.0), versions={"driver": VERSIONS["driver"]})
    assert figures(merged([old, at(1, take("dram_copy", 3.0))])) == {"bf16": 7.0, "dram_copy": 3.0}


def test_what_figures_do_not_depend_on_is_no_conflict() -> None:
    """Another virtual environment's run hides nothing, nor does a limit that was rounded."""
    other = {
        "versions": {**VERSIONS, "python": "3.12.1", "triton": "3.1"},
        "device": facts(power_limit_w=699.9),
    }
    new = at(1, take("dram_copy", 3.0), versions={**VERSIONS, "python": "3.11.9", "triton": "3.5"})
    assert figures(merged([at(0, take("bf16", 7.0), **other), new])) == {"bf16": 7.0, "dram_copy": 3.0}


@pytest.mark.parametrize(
    ("modes", "kept"),
    [
        (("default", "quick"), 0.92),
        (("full", "quick"), 0.92),
        (("full", "default"), 0.857),
        (("default", "full"), 0.857),
        (("quick", "quick"), 0.857),
        (("quick", "default"), 0.857),
    ],
)
def test_a_quick_run_replaces_none_that_took_its_time(modes: tuple[Any, Any], kept: float) -> None:
    """Also where nothing is held: it tries fewer shapes."""
    runs = [at(day, take("dram_copy", v), mode=modes[day]) for day, v in enumerate((0.92, 0.857))]
    assert figures(merged(runs)) == {"dram_copy": kept}


def test_a_figure_too_old_to_rely_on_makes_room_for_any() -> None:
    old = at(0, take("bf16", 8.0, sustained=7.0), take("dram_copy", 3.0))
    for day, bf16 in ((89, 7.0), (91, 8.1)):
        found = merged([old, at(day, take("bf16", 8.1), mode="quick")])
        assert figures(found) == {"bf16": bf16, "dram_copy": 3.0}, "what was not taken again is kept"
        assert found is not None
        assert found.t_s == T0_S


def test_a_useless_newest_run_decides_nothing() -> None:
    new = at(1, take("bf16", None, valid="failed"), versions={"driver": "999"})
    assert figures(merged([at(0, take("bf16", 7.0)), new])) == {"bf16": 7.0}
    assert merged([new]) is None
    assert merged([]) is None


_TAKES = st.lists(
    st.builds(
        take,
        st.sampled_from(["bf16", "fp16", "dram_copy"]),
        st.one_of(st.none(), st.floats(0.1, 10)),
        valid=st.sampled_from(["valid", "degraded", "failed"]),
        label=st.sampled_from(["measured", "contended"]),
    ),
    max_size=4,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(_TAKES, st.sampled_from(["1", "2"])), max_size=6))
def test_merging_keeps_the_newest_usable_figure_of_each_metric(
    runs: list[tuple[list[Measurement], str]],
) -> None:
    reports = [at(day, *takes, versions={"driver": d}) for day, (takes, d) in enumerate(runs)]
    found = merged(reports)
    useful = [r for r in reports if any(is_ceiling(m) for m in r.measurements)]
    if found is None:
        assert useful == []
        return
    fitting = [r for r in reports if r.versions == useful[-1].versions]
    for metric in {m.metric for r in fitting for m in r.measurements}:
        sets = [[m for m in r.measurements if m.metric == metric and is_ceiling(m)] for r in fitting]
        newest = next((s for s in reversed(sets) if s), None)
        (kept,) = [m for m in found.measurements if m.metric == metric]
        assert is_ceiling(kept) == (newest is not None)
        if newest:
            assert kept.value == max(m.value or 0.0 for m in newest)
    assert found.t_s <= useful[-1].t_s


def info(**changes: Any) -> DeviceInfo:
    """The same card as the sampler sees it."""
    device = DeviceInfo(
        key=KEY,
        index=0,
        name="NVIDIA H100 80GB HBM3",
        uuid=KEY,
        memory_total_bytes=85_520_809_984,
        compute_capability="9.0",
        power_limit_w=700.0,
        ecc_enabled=True,
    )
    return msgspec.structs.replace(device, **changes)


def test_stored_ceilings_of_this_very_card(kept: Store) -> None:
    kept.add(full())
    found = stored_ceilings(info(), "580.95.05", kept, ceilings_for(info()), now_s=T0_S + DAY_S)
    assert found is not None
    assert (found.label, found.measured_s, found.stale) == ("measured", T0_S, None)
    dram, nvlink = found.ceiling("dram"), found.ceiling("nvlink")
    assert dram is not None
    assert nvlink is not None
    assert (dram.label, nvlink.label) == ("measured", "assumed")


def test_runs_of_the_device_as_it_is_now_come_first(kept: Store) -> None:
    """A run under a lowered limit hides nothing once the limit is back."""
    kept.add(full())
    kept.add(full(0.7, t_s=T0_S + DAY_S, device=facts(power_limit_w=500.0)))
    now, low, other = (
        stored_ceilings(
            info(power_limit_w=w), "580.95.05", kept, ceilings_for(info()), now_s=T0_S + 2 * DAY_S
        )
        for w in (700.0, 500.0, 600.0)
    )
    assert now is not None
    assert low is not None
    assert other is not None
    assert (now.measured_s, now.stale) == (T0_S, None)
    assert (low.measured_s, low.stale) == (T0_S + DAY_S, None)
    assert "500 W, now it is 600 W" in (other.stale or ""), "else the newest, and it is said"


def test_runs_under_another_mig_profile_are_of_another_device(kept: Store) -> None:
    kept.add(full(device=facts(mig_profile="1g.10gb")))
    for profile in (None, "3g.40gb"):
        device = info(mig_profile=profile)
        assert stored_ceilings(device, "580.95.05", kept, ceilings_for(info()), now_s=T0_S) is None
    same = stored_ceilings(info(mig_profile="1g.10gb"), "590.1", kept, None, now_s=T0_S)
    assert same is not None
    assert "590.1" in (same.stale or "")


def test_another_card_has_none(kept: Store) -> None:
    kept.add(full())
    assert stored_ceilings(info(key=key(1)), "580.95.05", kept, ceilings_for(info(key=key(1)))) is None


def test_contended_runs_are_none(kept: Store) -> None:
    kept.add(full(contended="in use"))
    assert stored_ceilings(info(), "580.95.05", kept, ceilings_for(info())) is None
    assert len(kept.history(KEY)) == 1, "yet they are in the history"


def test_another_driver_is_stale_and_age_is_too(kept: Store) -> None:
    kept.add(full())
    other = stored_ceilings(info(), "590.1", kept, ceilings_for(info()), now_s=T0_S)
    assert other is not None
    assert "driver 580.95.05" in (other.stale or "")
    old = stored_ceilings(info(), "580.95.05", kept, ceilings_for(info()), now_s=T0_S + 400 * DAY_S)
    assert old is not None
    assert "400 days ago" in (old.stale or "")


def test_a_slice_is_filled_from_its_gpus_data_sheet(kept: Store) -> None:
    mig = info(key="MIG-1", name="NVIDIA H100 80GB HBM3", mig_profile="1g.10gb", slice_frac=0.125)
    mig = msgspec.structs.replace(mig, memory_total_bytes=10 * 1024**3)
    device = facts(key="MIG-1", mig_profile="1g.10gb", slice_frac=0.125)
    kept.add(report(take("dram_copy", 0.4e12), device=device))
    found = stored_ceilings(mig, "580.95.05", kept, ceilings_for(mig, info()), now_s=T0_S)
    assert found is not None
    assert found.stale is None
    bf16 = found.ceiling("bf16")
    assert bf16 is not None
    assert bf16.label == "assumed"
    assert bf16.value < 989e12 * 0.125
