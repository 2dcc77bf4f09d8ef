"""`advisor compare` as a person or a pipeline runs it."""

from __future__ import annotations

import importlib
import io
import json
import stat
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from advisor.cli.app import run_cli
from advisor.document import Diagnosis
from advisor.reports.json import encode
from advisor.schema import json_schema
from rules.serving import ServingFigures
from tests.advisor.cli.harness import advisor, clean_env, on_simulated
from tests.advisor.comparing.looks import AFTER, BEFORE, make_look, make_row
from tests.conftest import NvmlStub
from tests.factories import T0_S, device_key, make_workload

jsonschema: Any = importlib.import_module("jsonschema")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("ADVISOR_CONFIG", raising=False)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[str, str]:
    """A look before and one after, on disk."""
    return save(tmp_path / "before.json", BEFORE), save(tmp_path / "after.json", AFTER)


def save(path: Path, look: Diagnosis) -> str:
    path.write_bytes(encode(look))
    return str(path)


def test_text_on_stdout(saved: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["compare", *saved]) == 0
    said = capsys.readouterr()
    assert "1.50× the work per hour" in said.out
    assert str(Path(saved[0]).parent) not in said.out
    assert said.err == ""


def test_json_is_valid_by_its_schema(saved: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    validator = jsonschema.Draft202012Validator(json_schema("comparison"))
    for more in ([], ["--force"], ["--work", "A=1,B=2"], ["--fail-on", "usd:0"]):
        run_cli(["compare", *saved, "--json", *more])
        validator.validate(json.loads(capsys.readouterr().out))


def test_gate(saved: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    before, after = saved
    assert run_cli(["compare", before, after, "--fail-on", "regression>5%"]) == 0
    assert run_cli(["compare", after, before, "--fail-on", "regression>5%"]) == 1
    said = capsys.readouterr()
    assert "throughput is down by 33.3 %, over 5 %" in said.err
    assert "Fails on" in said.out


def test_a_fall_of_demand_is_exit_3_and_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [
        save(tmp_path / f"{running}.json", msgspec.structs.replace(look, serving=(served(running),)))
        for look, running in ((AFTER, 3.0), (BEFORE, 0.4))
    ]
    assert run_cli(["compare", *paths, "--fail-on", "regression>5%"]) == 3
    said = capsys.readouterr()
    assert "demand was not the same" in said.err
    assert "--work A=N,B=N" in said.err
    assert run_cli(["compare", *paths, "--fail-on", "regression>5%", "--work", "A=10,B=5"]) == 1


def served(running: float) -> ServingFigures:
    """An engine on the first GPU that generates 100 tokens a second for each request."""
    return ServingFigures(
        endpoint="127.0.0.1:8000",
        engine="vllm",
        keys=(device_key(0),),
        t_start_s=T0_S,
        t_end_s=T0_S + 60.0,
        generation_tok_s=100.0 * running,
        running=running,
        waiting=0.0,
    )


def test_refused_with_the_list_and_exit_2(
    saved: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = save(tmp_path / "other.json", make_look(make_row(0.1, tier="nvml"), at_s=T0_S + 600.0))
    assert run_cli(["compare", saved[0], other]) == 2
    said = capsys.readouterr()
    assert "counters -> nvml" in said.out
    assert "--force" in said.err
    assert run_cli(["compare", saved[0], other, "--fail-on", "regression>5%"]) == 2
    capsys.readouterr()
    assert run_cli(["compare", saved[0], other, "--force"]) == 0
    assert "forced" in capsys.readouterr().out


def test_a_gate_that_cannot_be_judged_is_not_passed(
    saved: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unpriced = save(tmp_path / "unpriced.json", make_look(make_row(0.1), price_usd_h=None, at_s=T0_S + 600.0))
    assert run_cli(["compare", saved[0], unpriced, "--fail-on", "usd>1"]) == 3
    assert "cannot be judged" in capsys.readouterr().err


def test_one_side_from_stdin(
    saved: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(saved[0]).read_bytes())))
    assert run_cli(["compare", "-", saved[1]]) == 0
    assert run_cli(["compare", "-", "-"]) == 2
    assert "both looks are stdin" in capsys.readouterr().err


def test_file_is_private_and_its_suffix_chooses(saved: tuple[str, str], tmp_path: Path) -> None:
    for name, start in (("c.json", "{"), ("c.md", ">"), ("c.txt", "SYNTHETIC")):
        out = tmp_path / name
        assert run_cli(["compare", *saved, "-o", str(out)]) == 0
        assert out.read_text().startswith(start)
        assert stat.S_IMODE(out.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("args", "fix"),
    [
        (["--gpu", "7"], "A has 0"),
        (["--gpu", "0", "--match", "0=0"], "give one of them"),
        (["--match", "0"], "A_GPU=B_GPU"),
        (["--match", ","], "A_GPU=B_GPU"),
        (["--work", "A=1"], "--work A="),
        (["--work", "A=0,B=1"], "--work A="),
        (["--work", "A=nan,B=1"], "--work A="),
        (["--fail-on", "regression"], "in quotes"),
        (["--json", "--format", "md"], "give one of them"),
        (["-o", "/nowhere/x.md"], "create it first"),
        (["--price", "3"], "--price is for recordings"),
    ],
)
def test_wrong_use_says_what_to_do(
    saved: tuple[str, str], args: list[str], fix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["compare", *saved, *args]) == 2
    said = capsys.readouterr()
    assert fix in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\x1f\x8b\x08",
        b'{"type":"hello"}',
        b"\x00" * 1000,
        b'{"schema_version": 999}',
        b"[" * 9999,
    ],
)
def test_bad_input_is_named(
    content: bytes, saved: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_bytes(content)
    assert run_cli(["compare", str(bad), saved[1]]) == 2
    assert run_cli(["compare", saved[0], str(bad)]) == 2
    said = capsys.readouterr()
    assert "bad.json" in said.err
    assert "fix:" in said.err
    assert said.out == ""


def test_what_is_not_there(
    saved: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["compare", saved[0], str(tmp_path / "none.json")]) == 2
    assert run_cli(["compare", saved[0], str(tmp_path)]) == 2
    assert "none.json" in capsys.readouterr().err


def test_secrets_do_not_leave(
    saved: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "serve --api-key sk-live-0123456789abcdef0123 /home/mallory/x.py"
    leaky = save(
        tmp_path / "leaky.json", make_look(make_row(0.1, workload=make_workload(name)), at_s=T0_S + 600.0)
    )
    for form in ("text", "md", "json"):
        run_cli(["compare", saved[0], leaky, "--format", form])
        out = capsys.readouterr().out
        assert "0123456789abcdef" not in out
        assert "mallory" not in out
    run_cli(["compare", saved[0], leaky, "--no-redact", "--json"])
    assert "mallory" in capsys.readouterr().out


def test_recordings_of_a_simulated_node_before_and_after(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    """Host-bound, then the same kernels without the wait: recorded, replayed, compared, judged."""
    paths = []
    for scenario in ("host", "compute"):
        path = tmp_path / f"{scenario}.jsonl.gz"
        done = advisor(
            *("record", str(path), "--duration", "3s", "--interval", "200ms"),
            env=on_simulated(nvml_stub, scenario, tmp_path),
        )
        assert done.returncode == 0, done.stderr
        paths.append(str(path))
    env = clean_env(tmp_path)
    done = advisor("compare", *paths, "--json", "--work", "A=10,B=25", "--fail-on", "regression>5%", env=env)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (pair,) = found["pairs"]
    assert (pair["a"]["class"], pair["b"]["class"], pair["matched_by"]) == ("host", "compute", "uuid")
    assert pair["throughput"]["factor"] == 2.5
    assert "HOST001" in {f["code"] for f in pair["findings"] if f["state"] == "went"}
    back = advisor("compare", *reversed(paths), "--work", "A=25,B=10", "--fail-on", "regression>5%", env=env)
    assert back.returncode == 1
