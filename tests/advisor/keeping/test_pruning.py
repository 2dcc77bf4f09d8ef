"""Probe runs that are taken over, and what goes when it is old or too much."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from advisor.keeping.errors import HistoryError
from advisor.keeping.history import DAY_S, HistoryFile, Limits
from advisor.store import Store
from tests.advisor.keeping.samples import EVER, at, bulky, sound
from tests.probes.reports import T0_S, cpu_facts, facts, full, key, report, take


def test_runs_of_the_store_are_taken_over_once(kept: HistoryFile, tmp_path: Path) -> None:
    store = Store(tmp_path / "ceilings")
    store.add(full())
    store.add(full(t_s=T0_S + 1, device=facts(1)))
    store.add(report(take("host_copy", 9e10), device=cpu_facts()))
    assert kept.take_over(store, [key(0)]) == 1
    assert kept.take_over(store) == 2
    assert kept.take_over(store) == 0
    store.add(report(take("bf16", 7e14), contended="python holds it", t_s=T0_S + 9))
    assert kept.take_over(store) == 1
    found = {f.metric: f for f in kept.figures(EVER) if f.key == key(0) and not f.contended}
    bf16, int8 = found["bf16"], found["int8"]
    assert (bf16.value, bf16.held, bf16.unit, bf16.valid) == (730e12, True, "flop_s", "valid")
    assert (bf16.versions["driver"], bf16.power_limit_w, bf16.ecc) == ("580.95.05", 700.0, True)
    assert (bf16.sm_mhz, bf16.power_w, bf16.throttle_reasons) == (1410.0, 694.0, ("sw_power_cap",))
    assert (int8.value, int8.valid, int8.held) == (None, "failed", False)
    assert {f.kind for f in kept.figures(EVER)} == {"cuda", "cpu"}
    assert kept.figures(EVER)[0].contended


def test_an_empty_store_creates_no_file(kept: HistoryFile, tmp_path: Path) -> None:
    assert kept.take_over(Store(tmp_path / "nothing")) == 0
    assert not kept.path.exists()


def test_what_is_too_old_goes(kept: HistoryFile) -> None:
    now_s = time.time()
    for days in (40, 31, 29, 0):
        kept.add(at(now_s - days * DAY_S))
    done = kept.prune(Limits(days=30))
    assert (done.diagnoses, done.kept_diagnoses) == (2, 2)
    assert [round((now_s - row.t_s) / DAY_S) for row in kept.diagnoses(EVER)] == [0, 29]
    assert kept.document(1) is None


def test_adding_prunes_by_itself(tmp_path: Path) -> None:
    history = HistoryFile(tmp_path / "h.sqlite3", Limits(days=30))
    now_s = time.time()
    HistoryFile(history.path).add(at(now_s - 60 * DAY_S))
    history.add(at(now_s))
    assert [row.t_s for row in history.diagnoses(EVER)] == [now_s]


@pytest.mark.parametrize("limits", [Limits(days=30), Limits(mib=0.15)])
def test_what_would_go_at_once_is_refused_and_takes_nothing_along(kept: HistoryFile, limits: Limits) -> None:
    for number in range(9):
        kept.add(bulky(number))
    kept.add(at(time.time()))
    before = kept.diagnoses(EVER)
    with pytest.raises(HistoryError, match="no place for it"):
        HistoryFile(kept.path, limits).add(bulky(-100))
    assert kept.diagnoses(EVER) == before


def test_the_oldest_goes_until_the_rest_fits_and_the_file_shrinks(kept: HistoryFile) -> None:
    for number in range(40):
        kept.add(bulky(number))
    before = kept.path.stat().st_size
    assert before > 1.2 * 1024**2
    done = kept.prune(Limits(mib=0.5))
    assert kept.path.stat().st_size == done.bytes_after <= 0.5 * 1024**2
    times = [row.t_s for row in kept.diagnoses(EVER)]
    assert times == [1039.0 - i for i in range(len(times))], "the newest stay, and none of them is missing"
    assert len(times) >= 5
    assert done.diagnoses == 40 - len(times)
    assert sound(kept.path)


def test_the_file_stays_within_its_size_as_it_grows(tmp_path: Path) -> None:
    history = HistoryFile(tmp_path / "h.sqlite3", Limits(mib=0.4))
    for number in range(30):
        history.add(bulky(number))
        assert history.path.stat().st_size <= 0.4 * 1024**2
    assert history.diagnoses(EVER)[0].t_s == 1029.0


def test_pruned_runs_do_not_come_back_from_the_store(kept: HistoryFile, tmp_path: Path) -> None:
    store = Store(tmp_path / "ceilings")
    now_s = time.time()
    for days in (50, 10):
        store.add(full(t_s=now_s - days * DAY_S))
    kept.add(at(now_s))
    assert kept.take_over(store) == 2
    assert kept.prune(Limits(days=30)).probe_runs == 1
    assert kept.take_over(store) == 0
    done = kept.prune(Limits(), everything=True)
    assert (done.diagnoses, done.probe_runs, done.kept_diagnoses) == (1, 1, 0)
    assert kept.take_over(store) == 0
    assert kept.figures(EVER) == []
    store.add(full(t_s=time.time() + 1))
    assert kept.take_over(store) == 1, "new runs are kept again"


@pytest.mark.parametrize("by_size", [False, True])
def test_a_diagnosis_from_the_future_does_not_keep_runs_out(
    kept: HistoryFile, tmp_path: Path, by_size: bool
) -> None:
    kept.add(at(4e9))
    done = kept.prune(Limits(mib=0.0)) if by_size else kept.prune(Limits(), everything=True)
    assert (done.diagnoses, done.kept_diagnoses) == (1, 0)
    store = Store(tmp_path / "ceilings")
    store.add(full(t_s=time.time() + 1))
    assert kept.take_over(store) == 1


def test_a_mark_that_a_wrong_clock_set_is_no_mark(kept: HistoryFile, tmp_path: Path) -> None:
    kept.add(at(1.0))
    with closing(sqlite3.connect(kept.path, isolation_level=None)) as db:
        db.execute("INSERT INTO marks VALUES ('runs_from_s', 4e9)")
    store = Store(tmp_path / "ceilings")
    store.add(full(t_s=time.time() - DAY_S))
    assert kept.take_over(store) == 1
    kept.prune(Limits(), everything=True)
    assert kept.take_over(store) == 0, "and what is pruned stays so"
