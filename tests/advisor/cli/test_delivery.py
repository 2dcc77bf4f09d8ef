"""Where reports go, in which shape, and what they hold."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from advisor.cli.app import run_cli
from advisor.cli.delivery import Delivery, check_writable, deliver, delivery
from advisor.cli.diagnostics import CliError
from advisor.config import Config
from advisor.document import Diagnosis
from advisor.reports.json import decode, encode
from tests.advisor.cli.harness import advisor, clean_env
from tests.factories import make_diagnosis, make_verdict, make_workload

DIAGNOSIS = make_diagnosis("host", "memory")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A diagnosis on disk."""
    path = tmp_path / "saved.json"
    path.write_bytes(encode(DIAGNOSIS))
    return path


@pytest.mark.parametrize(
    ("out", "form", "shape"),
    [
        (None, None, "text"),
        ("-", None, "text"),
        ("a.json", None, "json"),
        ("a.MD", None, "md"),
        ("a.txt", None, "text"),
        ("a", None, "text"),
        ("a.json", "md", "md"),
    ],
)
def test_shape_follows_the_option_then_the_suffix(out: str | None, form: str | None, shape: str) -> None:
    assert delivery(form, False, out).shape == shape


@pytest.mark.parametrize("name", ["out.xyz", "x.pdf", "report.json.gz", "a.JSONL"])
def test_a_suffix_of_no_format_is_refused_before_anything_is_written(
    name: str, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = saved.with_name(name)
    assert run_cli(["export", str(saved), "-o", str(out)]) == 2
    said = capsys.readouterr().err
    assert f"nothing is written as {out.suffix.lower()} here" in said and ".html" in said
    assert not out.exists()
    assert run_cli(["export", str(saved), "-o", str(out), "--format", "text"]) == 0


def test_a_command_refuses_a_format_that_it_does_not_write(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(CliError, match=r"nothing is written as \.html"):
        check_writable(Delivery(out=str(tmp_path / "x.html")), ("text", "json"))
    check_writable(Delivery(out=str(tmp_path / "x.json")), ("text", "json"))
    check_writable(Delivery(out=str(tmp_path / "plain")), ("text", "json"))
    assert run_cli(["compare", str(saved), str(saved), "-o", str(tmp_path / "x.html")]) == 2
    assert run_cli(["report", str(saved), "-o", str(tmp_path / "y.xyz")]) == 2
    assert run_cli(["report", str(saved), "-o", str(tmp_path / "y.xyz"), "--format", "png"]) == 0


def test_json_option_is_the_json_format() -> None:
    assert delivery(None, True, None).shape == "json"
    assert delivery("json", True, None).shape == "json"


def test_json_on_stdout_reads_back(capsys: pytest.CaptureFixture[str]) -> None:
    deliver(DIAGNOSIS, Delivery(form="json"))
    said = capsys.readouterr()
    assert decode(said.out).verdicts[0].class_ == "host"
    assert said.err == ""


def test_a_file_is_private_whole_and_announced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ticket.md"
    deliver(DIAGNOSIS, Delivery(out=str(path)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "HOST003" in path.read_text()
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"advisor: wrote {path}\n")


def test_run_reports_to_stderr_unless_told_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    deliver(DIAGNOSIS, Delivery(form="json", to_stderr=True))
    said = capsys.readouterr()
    assert said.out == ""
    assert decode(said.err).verdicts
    deliver(DIAGNOSIS, Delivery(form="json", to_stderr=True, out="-"))
    assert capsys.readouterr().out.startswith("{")


def names(diagnosis: Diagnosis) -> set[str | None]:
    """User names in the document."""
    return {v.workload.user for v in diagnosis.verdicts if v.workload is not None}


@pytest.mark.parametrize(
    ("keep", "config", "kept"),
    [
        (False, Config(), False),
        (True, Config(), True),
        (False, Config(redact=False), True),
        (False, None, False),
    ],
)
def test_redacted_unless_asked(
    capsys: pytest.CaptureFixture[str], keep: bool, config: Config | None, kept: bool
) -> None:
    verdict = make_verdict(workload=make_workload(user="alice"))
    deliver(make_diagnosis(verdicts=[verdict]), Delivery(form="json", keep=keep), config)
    assert ("alice" in names(decode(capsys.readouterr().out))) is kept


def test_colour_is_for_terminals(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    deliver(DIAGNOSIS, Delivery())
    assert "\x1b[" not in capsys.readouterr().out
    monkeypatch.setattr("advisor.cli.output.use_color", lambda: True)
    deliver(DIAGNOSIS, Delivery())
    assert "\x1b[" in capsys.readouterr().out


def test_text_fits_the_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    deliver(DIAGNOSIS, Delivery())
    assert max(len(line) for line in capsys.readouterr().out.splitlines()) <= 80


def test_a_folder_is_refused_before_measuring(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="is a folder"):
        check_writable(Delivery(out=str(tmp_path)))


def test_a_full_disk_is_an_error_with_advice() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(CliError) as caught:
        deliver(DIAGNOSIS, Delivery(out="/dev/full"))
    assert caught.value.fix


@pytest.mark.parametrize("form", ["md", "json", "text"])
def test_export_renders_again(saved: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    assert run_cli(["export", str(saved), "--format", form]) == 0
    said = capsys.readouterr()
    assert "HOST003" in said.out
    assert said.err == ""


def test_export_is_markdown_by_default_and_jira_on_request(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_cli(["export", str(saved)])
    github = capsys.readouterr().out
    run_cli(["export", str(saved), "--flavor", "jira"])
    jira = capsys.readouterr().out
    assert "| ---" in github or "|---" in github
    assert "||" in jira


def test_export_reads_stdin(saved: Path, tmp_path: Path) -> None:
    done = advisor("export", "-", "--json", env=clean_env(tmp_path), stdin=saved.read_text())
    assert msgspec.json.decode(done.stdout)["schema_version"] == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\x00\xff", b'{"type":"hello"}'])
def test_export_of_something_else_is_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content)
    assert run_cli(["export", str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err


def test_export_to_a_reader_that_leaves(saved: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m advisor export {saved} | head -c 10 >/dev/null"],
        env=clean_env(tmp_path),
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
