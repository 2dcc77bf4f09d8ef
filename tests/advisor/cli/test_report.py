"""`advisor report`: every format of a saved diagnosis and of a recording, images, and what it refuses."""

from __future__ import annotations

import csv
import importlib.resources
import json
from pathlib import Path

import pytest

from advisor.cli.app import run_cli
from advisor.reports.json import encode
from tests.advisor.cli.harness import advisor, clean_env
from tests.advisor.reports.test_html import check_safe
from tests.factories import make_diagnosis

DEMO = str(importlib.resources.files("advisor") / "data" / "demo.jsonl.gz")


@pytest.fixture
def saved(tmp_path: Path) -> str:
    """A diagnosis as JSON."""
    path = tmp_path / "diagnosis.json"
    path.write_bytes(encode(make_diagnosis("host")))
    return str(path)


def test_the_suffix_says_the_format(saved: str, tmp_path: Path) -> None:
    starts = {
        "html": "<!doctype html>",
        "csv": "time,host,",
        "json": "{",
        "md": "> **SYNTHETIC",
        "txt": "SYN",
    }
    for suffix, start in starts.items():
        out = tmp_path / f"report.{suffix}"
        assert run_cli(["report", saved, "-o", str(out)]) == 0
        assert out.read_text(encoding="utf-8").startswith(start)
        assert out.stat().st_mode & 0o077 == 0


def test_a_recording_becomes_a_page(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert run_cli(["report", DEMO, "-o", str(out), "--price", "2"]) == 0
    page = check_safe(out.read_text(encoding="utf-8"))
    assert "REPLAY" in page.text
    assert "costs $8.00/h" in page.text
    assert page.tags.count("svg") == 2 + 4 * 2 + 3
    assert len(out.read_bytes()) < 1_500_000


def test_stdin_to_stdout_as_csv(saved: str, tmp_path: Path) -> None:
    done = advisor("report", "-", "--format", "csv", env=clean_env(tmp_path), stdin=Path(saved).read_text())
    assert done.returncode == 0
    assert done.stderr == ""
    assert next(csv.reader(done.stdout.splitlines()))[:2] == ["time", "host"]


def test_processes_agree_and_a_home_that_cannot_be_written_is_no_news(saved: str, tmp_path: Path) -> None:
    made = []
    for seed in ("1", "2"):
        env = clean_env(tmp_path, PYTHONHASHSEED=seed, MPLCONFIGDIR="/proc/nowhere")
        done = advisor("report", saved, "--format", "html", env=env)
        assert (done.returncode, done.stderr) == (0, "")
        made.append(done.stdout)
    assert made[0] == made[1]


def test_a_page_for_a_stream_that_is_ascii(saved: str, tmp_path: Path) -> None:
    env = clean_env(tmp_path, PYTHONIOENCODING="ascii")
    done = advisor("report", saved, "--format", "html", env=env)
    assert done.returncode == 0
    assert done.stdout.isascii()
    check_safe(done.stdout)


def test_images_lie_beside_the_report(saved: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["report", saved, "-o", str(tmp_path / "t.md"), "--images"]) == 0
    assert (tmp_path / "t-ladder.png").read_bytes().startswith(b"\x89PNG")
    assert "![Where the money goes, per hour](<t-ladder.png>)" in (tmp_path / "t.md").read_text("utf-8")
    assert "t-ladder.png" in capsys.readouterr().err


def test_png_is_images_alone(saved: str, tmp_path: Path) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    assert run_cli(["report", saved, "-o", str(tmp_path / "x.png")]) == 0
    assert {path.name for path in tmp_path.iterdir()} - before == {"x-ladder.png"}


def test_findings_can_be_chosen(saved: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["report", saved, "--json", "--ignore", "HOST"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"] == []


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["--format", "png"], "there is no name for them"),
        (["--images"], "there is no name for them"),
        (["--images", "-o", "x.csv"], "not with csv"),
        (["--format", "png", "--json"], "contradict"),
        (["--format", "html", "--json"], "contradict"),
        (["--price", "2"], "--price is for recordings"),
        (["-o", "/nowhere/x.html"], "/nowhere is not a folder"),
    ],
)
def test_what_cannot_be(saved: str, args: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["report", saved, *args]) == 2
    assert why in capsys.readouterr().err


def test_something_else_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.json"
    path.write_text("<html>")
    out = tmp_path / "kept.html"
    out.write_text("good")
    assert run_cli(["report", str(path), "-o", str(out)]) == 2
    assert "x.json" in capsys.readouterr().err
    assert out.read_text() == "good"


@pytest.mark.parametrize("command", ["demo", "replay", "export"])
def test_other_commands_write_pages_and_tables(command: str, saved: str, tmp_path: Path) -> None:
    given = {"demo": ["demo"], "replay": ["replay", DEMO], "export": ["export", saved]}[command]
    out = tmp_path / "out.csv"
    assert run_cli([*given, "-o", str(out)]) == 0
    assert out.read_bytes().startswith(b"time,host,source,")
