"""`advisor history` and what feeds it, as people run it."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from advisor.cli.app import run_cli
from advisor.document import Diagnosis
from advisor.keeping import database
from advisor.keeping.errors import HistoryError
from advisor.keeping.history import HistoryFile
from advisor.reports.json import decode, encode
from advisor.schema import json_schema
from advisor.store import Store
from tests.advisor.cli.harness import advisor, clean_env, on_simulated
from tests.conftest import NvmlStub
from tests.factories import device_key, make_diagnosis, make_verdict
from tests.probes.reports import DAY_S, facts, full, key, report, take
from tests.test_import_hygiene import imported

# No types come with it.
jsonschema: Any = importlib.import_module("jsonschema")

NOW_S = time.time()


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of the test's own, and a terminal of 80 columns."""
    monkeypatch.setenv("ADVISOR_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path / "state"


@pytest.fixture
def filled(state: Path) -> Path:
    """Three diagnoses of two GPUs over ten days, and five probe runs of which the last two fell."""
    history = HistoryFile()
    for days in (10, 5, 0):
        history.add(at(NOW_S - days * DAY_S, "host", "memory"))
    store = Store()
    for day, value in enumerate((7e14, 7e14, 7e14, 6e14, 6e14)):
        store.add(report(take("bf16", value), device=facts(0), t_s=NOW_S - (9 - day) * DAY_S))
    return state


def at(t_s: float, *classes: Any) -> Diagnosis:
    made = make_diagnosis(*classes)
    provenance = msgspec.structs.replace(made.provenance, t_start_s=t_s - 60, t_end_s=t_s)
    return msgspec.structs.replace(made, provenance=provenance)


def printed(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> str:
    assert run_cli(["history", *args]) == code
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return said.out if code == 0 else said.err


def as_json(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(printed(capsys, *args, "--json"))
    jsonschema.Draft202012Validator(json_schema("history")).validate(document)
    return document


def test_the_list_is_by_gpu_and_fits_80_columns(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("host: input-pipeline") == 3
    assert text.count("memory: dram-bandwidth") == 3
    assert "3 diagnoses listed, 0 probe runs kept" in text
    assert "3 diagnoses listed, 5 probe runs kept" in text
    assert text.index(device_key(0)) < text.index(device_key(1))


def test_gpu_since_and_limit_choose(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(as_json(capsys)["diagnoses"]) == 6
    assert {d["gpu"] for d in as_json(capsys, "--gpu", "1")["diagnoses"]} == {1}
    assert {d["key"] for d in as_json(capsys, "--gpu", device_key(1)[:12].upper())["diagnoses"]} == {
        device_key(1)
    }
    assert len(as_json(capsys, "--since", "7d")["diagnoses"]) == 4
    limited = as_json(capsys, "--limit", "1")
    assert [d["id"] for d in limited["diagnoses"]] == [3, 3]
    assert limited["left_out"] == 4
    assert [f["value"] for f in limited["figures"]] == [6e14]
    assert len(as_json(capsys, "--gpu", "0,1")["diagnoses"]) == 6
    assert "there are 0 (" in printed(capsys, "--gpu", "7", code=2)


def test_one_metric(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "--metric", "bf16")
    assert text.count("600 TFLOP/s") == 2 and text.count("700 TFLOP/s") == 3
    assert "useful share" in printed(capsys, "--metric", "useful")
    assert {f["metric"] for f in as_json(capsys, "--metric", "bf16")["figures"]} == {"bf16"}
    assert "did you mean useful" in printed(capsys, "--metric", "usefull", code=2)
    assert "Nothing of what was asked for" in printed(capsys, "--metric", "fp64")


def test_trends_name_the_ceiling_that_fell(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "--trends")
    assert max(map(len, text.splitlines())) <= 80
    assert "DEGRADED since" in text and "(2 runs, last good" in text
    assert "useful share" in text
    found = as_json(capsys, "--trends", "--gpu", "0")
    (trend,) = [t for d in found["trends"] for t in d["ceilings"]]
    assert trend["fall"]["runs"] == 2
    assert trend["fall"]["since_s"] == pytest.approx(NOW_S - 6 * DAY_S)
    assert as_json(capsys, "--trends", "--metric", "useful")["trends"][0]["ceilings"] == []


def test_a_kept_diagnosis_comes_back_in_any_format(
    filled: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run_cli(["history", "show", "3", "-o", str(tmp_path / "x.json")]) == 0
    back = decode((tmp_path / "x.json").read_bytes())
    assert back.provenance.t_end_s == NOW_S
    capsys.readouterr()
    assert "GPU 1" in printed(capsys, "show", "3")
    assert "# " in printed(capsys, "show", "3", "--format", "md")
    assert "<!doctype html>" in printed(capsys, "show", "3", "--format", "html").lower()
    assert len(printed(capsys, "show", "3", "--format", "csv").splitlines()) > 10
    assert "there are 3, numbered 1 to 3" in printed(capsys, "show", "9", code=2)
    printed(capsys, "show", "zero", code=2)
    printed(capsys, "show", str(2**70), code=2)


def test_a_saved_diagnosis_can_be_added(
    state: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    saved, old = tmp_path / "saved.json", tmp_path / "old.json"
    saved.write_bytes(encode(at(NOW_S, "memory")))
    old.write_bytes(encode(at(1000.0)))
    assert run_cli(["history", "add", str(saved)]) == 0
    assert "is kept as diagnosis 1" in capsys.readouterr().err
    assert run_cli(["history", "add", str(saved)]) == 0
    assert "is kept already" in capsys.readouterr().err
    assert "days ago" in printed(capsys, "add", str(old), code=2)
    old.write_bytes(encode(at(NOW_S + 3 * DAY_S)))
    assert "3 days ahead of this node's clock" in printed(capsys, "add", str(old), code=2)
    assert "cannot read" in printed(capsys, "add", "/nowhere.json", code=2)


def test_several_diagnoses_can_be_added_and_stdin_is_called_that(
    state: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    first.write_bytes(encode(at(NOW_S, "memory")))
    second.write_bytes(encode(at(NOW_S - 60.0)))
    assert run_cli(["history", "add", str(first), str(second)]) == 0
    said = capsys.readouterr().err
    assert f"{first} is kept as diagnosis 1" in said
    assert f"{second} is kept as diagnosis 2" in said
    with first.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert run_cli(["history", "add", "-"]) == 0
    assert "the diagnosis on stdin is kept already" in capsys.readouterr().err
    printed(capsys, "add", code=2)


def test_prune(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed(capsys)
    assert "removed 1 diagnosis and 2 probe runs" in printed(capsys, "prune", "--days", "7.5")
    assert "removed 0 diagnoses and 0 probe runs" in printed(capsys, "prune")
    gone = json.loads(printed(capsys, "prune", "--all", "--json"))
    assert (gone["diagnoses"], gone["probe_runs"], gone["kept_diagnoses"]) == (2, 3, 0)
    assert "Nothing" in printed(capsys)
    assert len(Store().history(key(0))) == 5, "what live verdicts use stays"
    printed(capsys, "prune", "--all", "--days", "3", code=2)
    printed(capsys, "prune", "--days", "nan", code=2)


def test_nothing_kept_is_said_and_creates_nothing(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Nothing is kept in" in printed(capsys)
    assert "history.sqlite3" in printed(capsys)
    assert as_json(capsys)["diagnoses"] == []
    assert as_json(capsys, "--trends")["trends"] == []
    assert printed(capsys, "path") == f"{state / 'history.sqlite3'}\n"
    assert json.loads(printed(capsys, "path", "--json"))["exists"] is False
    assert not state.exists()


def test_without_history_nothing_is_taken_over(
    filled: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADVISOR_HISTORY", "0")
    found = as_json(capsys)
    assert (len(found["diagnoses"]), found["figures"]) == (6, [])
    monkeypatch.delenv("ADVISOR_HISTORY")
    assert len(as_json(capsys)["figures"]) == 5


def test_a_history_that_cannot_be_written_can_be_read(
    filled: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_args: object) -> None:
        raise HistoryError("it is read-only")

    monkeypatch.setattr(database, "change", refused)
    assert run_cli(["history"]) == 0
    said = capsys.readouterr()
    assert said.out.count("host: input-pipeline") == 3
    assert said.err.splitlines() == [
        "advisor: warning: probe runs were not taken over: it is read-only",
    ]


def test_options_of_the_list_are_not_ignored(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--gpu is an option of the list" in printed(capsys, "--gpu", "0", "show", "1", code=2)


def test_a_damaged_history_is_named_and_left(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = filled / "history.sqlite3"
    path.write_bytes(b"no database " * 900)
    said = printed(capsys, code=2)
    assert "is no SQLite database" in said and "moves it aside" in said
    assert path.read_bytes().startswith(b"no database")


def test_diagnosing_keeps_what_is_asked_for(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    env = on_simulated(nvml_stub, "memory", tmp_path)
    database = tmp_path / ".local" / "state" / "advisor" / "history.sqlite3"
    look = ("diagnose", "--duration", "1500ms", "--json")
    assert advisor(*look, env=env).returncode == 0
    assert not database.exists(), "figures of no GPU are not kept by themselves"
    done = advisor(*look, "--history", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    kept = HistoryFile(database).document(1)
    assert kept == decode(done.stdout)
    run = advisor("run", "--history", "--", sys.executable, "-c", "import time; time.sleep(2)", env=env)
    assert run.returncode == 0, run.stderr
    assert "warning" not in run.stderr
    second = HistoryFile(database).document(2)
    assert second is not None and second.provenance.source == "run"


def test_a_history_that_cannot_be_written_costs_one_line(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    env = on_simulated(nvml_stub, "memory", tmp_path, ADVISOR_STATE_DIR="/proc/nowhere")
    done = advisor("diagnose", "--duration", "1500ms", "--json", "--history", env=env)
    assert done.returncode == 0
    assert decode(done.stdout).verdicts
    (line,) = done.stderr.splitlines()
    assert line.startswith("advisor: warning: this diagnosis is not in the history: /proc/nowhere")


def test_probing_keeps_its_figures(tmp_path: Path) -> None:
    env = clean_env(tmp_path)
    probe = ("probe", "host", "--device", "cpu", "--quick", "--json")
    assert advisor(*probe, env={**env, "ADVISOR_HISTORY": "0"}).returncode == 0
    database = tmp_path / ".local" / "state" / "advisor" / "history.sqlite3"
    assert not database.exists()
    done = advisor(*probe, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    figures = HistoryFile(database).figures(-float("inf"))
    assert len({f.t_s for f in figures}) == 2, "the earlier run is taken over, too"
    assert {f.kind for f in figures} == {"cpu"}


@pytest.mark.parametrize("args", [("--version",), ("diagnose", "--help"), ("history", "--help"), ("rules",)])
def test_sqlite_is_loaded_by_those_who_need_it_alone(tmp_path: Path, args: tuple[str, ...]) -> None:
    code, names = imported(*args, env=clean_env(tmp_path))
    assert code == 0
    assert names & {"sqlite3", "_sqlite3"} == set()


def test_hostile_names_are_escaped(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = make_verdict(device_name="X\x1b[2J\u202e100", cause="c\x07ause")
    made = make_diagnosis(verdicts=(verdict,))
    provenance = msgspec.structs.replace(made.provenance, t_end_s=NOW_S)
    HistoryFile().add(msgspec.structs.replace(made, provenance=provenance))
    Store().add(full(device=facts(name="Y\x1b[2J\u202e200"), t_s=NOW_S))
    for args in ((), ("--trends",), ("--metric", "bf16")):
        text = printed(capsys, *args)
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
