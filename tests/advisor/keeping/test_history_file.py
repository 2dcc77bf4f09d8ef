"""The history's file: what was kept comes back, and stays whatever happens to disk, file or process."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from advisor import locations
from advisor.document import Diagnosis
from advisor.keeping.history import HistoryFile, Limits
from tests.advisor.keeping.samples import EVER, at
from tests.factories import make_device_provenance, make_diagnosis, make_provenance, make_verdict
from tests.strategies import diagnoses, with_sound_money


def test_a_diagnosis_comes_back_as_it_was(kept: HistoryFile) -> None:
    made = at(1000.0, "host", "memory")
    number = kept.add(made)
    assert number == 1
    assert kept.document(1) == made
    assert kept.document(2) is None
    assert kept.numbers() == (1, 1, 1)
    first, second = kept.diagnoses(EVER)
    assert (first.id, first.t_s, first.class_, first.cause) == (1, 1000.0, "host", "input-pipeline")
    assert (first.confidence, first.shares) == (made.verdicts[0].confidence, made.verdicts[0].shares)
    assert first.useful_frac == made.ladder[0].shares["useful"]
    assert first.wasted_usd_h == made.ladder[0].wasted_usd_h
    assert (first.wasted_frac or 0) * 6.88 == pytest.approx(first.wasted_usd_h)
    assert (first.power_w_p50, first.power_w_p90, first.sm_mhz_p50) == (291.0, 402.0, 1755.0)
    assert (first.model, first.ceilings_label, first.synthetic) == ("X100 80GB", "assumed", True)
    assert second.gpu == 1


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(made=diagnoses())
def test_any_diagnosis_comes_back(tmp_path: Path, made: Diagnosis) -> None:
    from advisor.reports.json import decode, encode

    history = HistoryFile(tmp_path / "any.sqlite3")
    made = with_sound_money(made)
    number = history.add(made)
    if number is None:
        return  # the same example again
    assert history.document(number) == decode(encode(made))
    rows = [row for row in history.diagnoses(EVER) if row.id == number]
    assert [row.key for row in rows] == [v.key for v in decode(encode(made)).verdicts]


def test_the_same_document_is_kept_once(kept: HistoryFile) -> None:
    assert kept.add(at(1.0)) == 1
    assert kept.add(at(1.0)) is None
    assert kept.add(at(2.0)) == 2
    assert kept.numbers()[0] == 2


def test_rows_without_a_price_or_provenance_say_unknown(kept: HistoryFile) -> None:
    bare = at(1.0, "host", price_usd_h=None)
    bare = msgspec.structs.replace(bare, provenance=msgspec.structs.replace(bare.provenance, devices=()))
    kept.add(bare)
    (row,) = kept.diagnoses(EVER)
    assert (row.wasted_usd_h, row.price_usd_h, row.price_basis, row.power_w_p50) == (None,) * 4
    assert row.wasted_frac is not None
    kept.add(msgspec.structs.replace(bare, ladder=()))
    assert kept.diagnoses(EVER)[0].useful_frac is None


def test_newest_first_and_since(kept: HistoryFile) -> None:
    for t_s in (20.0, 10.0, 30.0):
        kept.add(at(t_s))
    assert [row.t_s for row in kept.diagnoses(EVER)] == [30.0, 20.0, 10.0]
    assert [row.t_s for row in kept.diagnoses(20.0)] == [30.0, 20.0]


def test_nothing_kept_is_no_error_and_reading_creates_nothing(kept: HistoryFile) -> None:
    assert (kept.diagnoses(EVER), kept.figures(EVER), kept.document(1), kept.numbers()) == (
        [],
        [],
        None,
        (0, None, None),
    )
    assert kept.prune(Limits(), everything=True).bytes_before == 0
    assert not kept.path.parent.exists()


def test_private_whatever_the_umask_says(kept: HistoryFile) -> None:
    old = os.umask(0)
    try:
        kept.add(at(1.0))
    finally:
        os.umask(old)
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.path.parent.stat().st_mode) == 0o700
    assert [p.name for p in kept.path.parent.iterdir()] == [kept.path.name], "no journal stays behind"


def test_where_it_lies_follows_the_environment(tmp_path: Path) -> None:
    named = locations.history_file({"ADVISOR_STATE_DIR": str(tmp_path)})
    assert named == tmp_path / "history.sqlite3"
    assert named.parent == locations.ceilings_dir({"ADVISOR_STATE_DIR": str(tmp_path)}).parent


def test_a_path_of_any_bytes_will_do(tmp_path: Path) -> None:
    history = HistoryFile(tmp_path / os.fsdecode(b"a ?#%20\xff&mode=ro") / "h.sqlite3")
    assert history.add(at(1.0)) == 1
    assert history.document(1) == at(1.0)


def test_no_write_ahead_log(kept: HistoryFile) -> None:
    """It cannot live on NFS."""
    kept.add(at(1.0))
    with closing(sqlite3.connect(kept.path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
        assert db.execute("PRAGMA auto_vacuum").fetchone()[0] == 2


def test_hosts_of_one_home_share_the_file(kept: HistoryFile) -> None:
    """Rows are keyed by UUID: GPU 0 of two nodes are two devices."""
    for host, gpu in (("host-a", 0), ("host-b", 1)):
        verdict = make_verdict(gpu=gpu)
        provenance = make_provenance((verdict,), host=host, devices=(make_device_provenance(verdict),))
        kept.add(make_diagnosis(verdicts=(msgspec.structs.replace(verdict, gpu=0),), provenance=provenance))
    rows = kept.diagnoses(EVER)
    assert {row.host for row in rows} == {"host-a", "host-b"}
    assert {row.gpu for row in rows} == {0}
    assert len({row.key for row in rows}) == 2
