"""What is kept, what is not, and that a failure to keep it costs one line and nothing else."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from advisor.config import Config
from advisor.document import Diagnosis
from advisor.keeping.history import HistoryFile
from advisor.keeping.recorder import is_kept, keep_diagnosis, keep_runs
from advisor.store import Store
from tests.factories import make_diagnosis, make_provenance, make_verdict, make_workload
from tests.probes.reports import full, key

EVER = -float("inf")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of the test's own."""
    monkeypatch.setenv("ADVISOR_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def seen(**changes: Any) -> Diagnosis:
    """As if a GPU had produced it."""
    made = make_diagnosis("host")
    return msgspec.structs.replace(
        made,
        provenance=msgspec.structs.replace(
            made.provenance, **{"synthetic": False, "t_end_s": time.time(), **changes}
        ),
    )


def said_of(diagnosis: Diagnosis, config: Config | None = None, wanted: bool | None = None) -> list[str]:
    said: list[str] = []
    keep_diagnosis(diagnosis, config or Config(), said.append, wanted)
    return said


@pytest.mark.parametrize(
    ("changes", "config", "wanted", "kept"),
    [
        ({}, {}, None, True),
        ({"source": "run"}, {}, None, True),
        ({"source": "replay"}, {}, None, False),
        ({"source": "demo"}, {}, None, False),
        ({"synthetic": True}, {}, None, False),
        ({"synthetic": True}, {}, True, True),
        ({"source": "replay"}, {}, True, True),
        ({}, {"history": False}, None, False),
        ({}, {"history": False}, True, True),
        ({}, {}, False, False),
    ],
)
def test_what_is_kept(
    changes: dict[str, Any], config: dict[str, Any], wanted: bool | None, kept: bool, state: Path
) -> None:
    assert is_kept(seen(**changes), Config(**config), wanted) is kept
    assert said_of(seen(**changes), Config(**config), wanted) == []
    assert len(HistoryFile().diagnoses(EVER)) == kept
    assert state.exists() == kept


def test_nothing_seen_is_nothing_to_keep(state: Path) -> None:
    said_of(msgspec.structs.replace(seen(), verdicts=()), wanted=True)
    assert not state.exists()


def test_it_is_redacted_as_exports_are(state: Path) -> None:
    workload = make_workload("train --token=hf_abcdefghijklmnopqrstuvwxyz123456", user="alice")
    verdict = make_verdict(workload=workload)
    secret = make_diagnosis(verdicts=(verdict,))
    command = "advisor diagnose --pid 1 # WANDB_API_KEY=0123456789abcdef0123456789abcdef01234567"
    host, now_s = "login-01.example.org", time.time()
    provenance = make_provenance((verdict,), synthetic=False, command=command, host=host, t_end_s=now_s)
    said_of(msgspec.structs.replace(secret, provenance=provenance))
    kept = HistoryFile().document(1)
    assert kept is not None
    everything = msgspec.json.encode(kept).decode() + repr(HistoryFile().diagnoses(EVER))
    for word in ("hf_abcdef", "alice", "login-01", "0123456789abcdef0123456789abcdef01234567"):
        assert word not in everything
    said_of(
        msgspec.structs.replace(secret, provenance=provenance),
        msgspec.structs.replace(Config(), redact=False),
    )
    open_ = HistoryFile().document(2)
    assert open_ is not None and "alice" in msgspec.json.encode(open_).decode()


def test_limits_of_the_configuration_hold(state: Path) -> None:
    old = seen(t_end_s=1000.0)
    said_of(old, Config(history_days=1.0))
    assert HistoryFile().diagnoses(EVER) == []


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null"])
def test_a_failure_is_one_line(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVISOR_STATE_DIR", place)
    (line,) = said_of(seen())
    assert "\n" not in line
    assert "this diagnosis is not in the history" in line
    assert "ADVISOR_STATE_DIR" in line


def test_a_defect_is_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(HistoryFile, "add", broken)
    assert said_of(seen()) == ["this diagnosis is not in the history: ZeroDivisionError: oops"]


def test_a_damaged_file_is_moved_and_the_diagnosis_kept(state: Path) -> None:
    state.mkdir()
    (state / "history.sqlite3").write_bytes(b"junk" * 1000)
    (line,) = said_of(seen())
    assert "moved to history.sqlite3.damaged-" in line
    assert "not in the history" not in line
    assert len(HistoryFile().diagnoses(EVER)) == 1


def test_runs_follow_the_setting(state: Path) -> None:
    store = Store()
    store.add(full())
    said: list[str] = []
    keep_runs(store, [key(0)], Config(history=False), said.append)
    assert HistoryFile().figures(EVER) == []
    keep_runs(store, [key(0)], Config(), said.append)
    assert len(HistoryFile().figures(EVER)) == len(full().measurements)
    assert said == []
