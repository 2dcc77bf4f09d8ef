"""`advisor bundle`: what is in it, that it is the same each time, and that nothing leaks through it."""

from __future__ import annotations

import getpass
import hashlib
import importlib
import json
import os
import platform
import stat
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.bundle import FOLDER, Item, Manifest, write_bundle
from advisor.cli.app import run_cli
from advisor.cli.bundle_removed import removed_from
from advisor.document import Diagnosis, Flag
from advisor.reports.json import decode, encode
from advisor.reports.scrub import Scrubber
from advisor.schema import json_schema
from advisor.telemetry.recording import Recorder, read_recording
from advisor.telemetry.records import End, Frame
from tests.advisor.cli.harness import advisor, on_simulated, without_driver
from tests.advisor.comparing.looks import BEFORE, make_look, make_row, with_provenance
from tests.conftest import NvmlStub
from tests.factories import make_finding, make_hello, make_process, make_sample, make_workload

jsonschema: Any = importlib.import_module("jsonschema")

SECRET = "sk-live-0123456789abcdef0123"  # noqa: S105
USER = "mallory77"
HOST = "gpu-rack17-node03.corp.example"
COMMAND = f"python train.py --api-key {SECRET} --data /scratch/{USER}/set --at {USER}@{HOST}"
MEMBERS = {
    *("MANIFEST.json", "README.txt", "diagnosis.csv", "diagnosis.json", "doctor.json", "doctor.txt"),
    *("redactions.txt", "report.html", "report.md", "report.txt"),
}


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("ADVISOR_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)


def leaky() -> Diagnosis:
    """A document with a secret, a user and a host in every kind of text it has."""
    row = make_row(0.4, workload=make_workload(f"train {COMMAND}", user=USER))
    finding = make_finding(claim=f"seen in {COMMAND}", actions=(f"see http://{HOST}/x",))
    look = make_look(row, findings=(finding,), flags=(Flag(code="gap", message=f"on {HOST}: {COMMAND}"),))
    return with_provenance(look, host=HOST, command=f"advisor run -- {COMMAND}", note=f"from {HOST}")


def recording(path: Path) -> Path:
    """One process that gives away all of it, recorded without redaction."""
    with Recorder(path, redact=False) as recorder:
        recorder.write(make_hello(synthetic=True, note=f"of {HOST} by {COMMAND}"))
        for i in range(30):
            moment = 1_700_000_000.0 + i
            process = make_process(name=f"x {COMMAND}", command=COMMAND, user=USER)
            recorder.write(
                Frame(seq=i, t_s=moment, samples=(make_sample(t_s=moment, gpm=()),), processes=(process,))
            )
        recorder.write(End(t_s=1_700_000_030.0, reason=f"{HOST} was stopped: {COMMAND}"))
    return path


def saved(look: Diagnosis, name: str = "d.json") -> str:
    Path(name).write_bytes(encode(look))
    return name


def contents(path: str | Path) -> dict[str, bytes]:
    """Member -> bytes, without the folder."""
    with tarfile.open(path) as archive:
        return {m.name.removeprefix(f"{FOLDER}/"): _read(archive, m) for m in archive.getmembers()}


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


def test_everything_is_in_it() -> None:
    assert run_cli(["bundle", saved(BEFORE), "-o", "b.tar.gz"]) == 0
    found = contents("b.tar.gz")
    assert set(found) == MEMBERS
    assert found["report.html"].lstrip().lower().startswith(b"<!doctype html")
    assert decode(found["diagnosis.json"]).verdicts[0].class_ == "host"
    assert json.loads(found["doctor.json"])["checks"]
    assert stat.S_IMODE(os.stat("b.tar.gz").st_mode) == 0o600  # noqa: PTH116


def test_the_manifest_is_true_and_valid(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["bundle", saved(BEFORE), "-o", "b.tar.gz", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    found = contents("b.tar.gz")
    manifest = json.loads(found["MANIFEST.json"])
    jsonschema.Draft202012Validator(json_schema("bundle")).validate(manifest)
    assert printed == manifest
    for member in manifest["members"]:
        body = found[member["name"]]
        assert (member["size_bytes"], member["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert {m["name"] for m in manifest["members"]} == MEMBERS - {"MANIFEST.json"}
    assert "--recording" in manifest["left_out"]["recording.jsonl.gz"]


def test_equal_contents_are_equal_files() -> None:
    name = saved(BEFORE)
    for out in ("one.tar.gz", "two.tar.gz"):
        assert run_cli(["bundle", name, "-o", out, "--no-doctor"]) == 0
    assert Path("one.tar.gz").read_bytes() == Path("two.tar.gz").read_bytes()
    with tarfile.open("one.tar.gz") as archive:
        entries = archive.getmembers()
    assert [e.name for e in entries] == sorted(e.name for e in entries)
    assert {(e.uid, e.gid, e.uname, e.gname, e.mode, e.mtime) for e in entries} == {
        (0, 0, "", "", 0o600, 315532800)
    }
    assert all(e.isreg() and not e.name.startswith("/") and ".." not in e.name for e in entries)


def test_nothing_leaks_through_any_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "srv" / "homes" / "quentin"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "conf"))
    monkeypatch.setattr(platform, "node", lambda: "login-04.corp.example")
    monkeypatch.setattr(getpass, "getuser", lambda: "quentin")
    raw = recording(tmp_path / "raw.jsonl.gz")
    assert run_cli(["bundle", saved(leaky()), "--recording", str(raw), "-o", "b.tar.gz"]) == 0
    found = contents("b.tar.gz")
    Path("unpacked.jsonl.gz").write_bytes(found["recording.jsonl.gz"])
    with read_recording("unpacked.jsonl.gz") as reader:
        found["recording, unpacked"] = b"\n".join(map(msgspec.json.encode, (reader.hello, *reader)))
    for name, body in found.items():
        text = body.decode("utf-8", "replace")
        for word in (SECRET, SECRET[8:], USER, HOST, "rack17", "login-04", "corp.example", "quentin"):
            assert word not in text, (name, word)
    said = found["redactions.txt"].decode()
    assert "No secret was found" not in said
    line = next(line for line in said.splitlines() if "value of --api-key" in line)
    assert {"report.md", "diagnosis.json", "recording.jsonl.gz"} <= set(line.replace(",", " ").split())
    assert "host name, as node-" in said
    assert "user name, as user:" in said


def test_what_went_is_counted_where_it_stands_and_nothing_is_said_to_have_gone_that_had_not() -> None:
    assert run_cli(["bundle", saved(BEFORE), "-o", "b.tar.gz", "--no-doctor"]) == 0
    found = contents("b.tar.gz")
    assert b"No secret was found." in found["redactions.txt"]
    saved(leaky())
    assert run_cli(["bundle", "d.json", "-o", "c.tar.gz", "--no-doctor"]) == 0
    found = contents("c.tar.gz")
    for one in json.loads(found["MANIFEST.json"])["removed"]:
        if one["what"] == "value of --api-key" and one["member"].endswith((".txt", ".json", ".csv")):
            assert one["count"] == found[one["member"]].count(b"--api-key REDACTED")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("train.py --api-key REDACTED --x 1", "value of --api-key"),
        ("train.py --api-key=REDACTED", "value of --api-key"),
        ("HF_TOKEN=REDACTED python x", "value of HF_TOKEN"),
        (r"{\"password\": \"REDACTED\"}", "value of password"),
        (r"\-\-api\-key REDACTED", "value of --api-key"),
        ("<p>&quot;secret&quot;: &quot;REDACTED&quot;", "value of secret"),
        ("http://REDACTED@host/x", "credentials in a URL"),
        ("wandb login REDACTED", "a secret without a name"),
        ("on node-1a2b3c", "host name, as node-1a2b3c"),
        ("by user:1a2b3c", "user name, as user:1a2b3c"),
        ("at ~/set", "home folder, as ~"),
    ],
)
def test_what_stands_in_place_of_something_is_named(text: str, what: str) -> None:
    (found,) = removed_from([Item(name="x.txt", what="", data=text.encode())])
    assert (found.what, found.count) == (what, 1)


@given(st.text(max_size=200))
def test_any_text_can_be_looked_through(text: str) -> None:
    assert all(one.count > 0 for one in removed_from([Item(name="x", what="", data=text.encode())]))


def test_without_redaction_it_says_so_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["bundle", saved(leaky()), "-o", "b.tar.gz", "--no-redact"]) == 0
    assert "nothing was redacted" in capsys.readouterr().err
    found = contents("b.tar.gz")
    assert SECRET in found["diagnosis.json"].decode()
    assert b"NOTHING WAS REDACTED" in found["README.txt"]
    assert json.loads(found["MANIFEST.json"])["is_redacted"] is False


def test_a_recording_goes_in_by_itself_and_replays(tmp_path: Path) -> None:
    raw = str(recording(tmp_path / "raw.jsonl.gz"))
    assert run_cli(["bundle", raw, "-o", "b.tar.gz", "--no-doctor"]) == 0
    found = contents("b.tar.gz")
    Path("r.jsonl.gz").write_bytes(found["recording.jsonl.gz"])
    with read_recording("r.jsonl.gz") as reader:
        assert len(list(reader)) == 31
    assert decode(found["diagnosis.json"]).provenance.source == "replay"
    assert run_cli(["bundle", raw, "-o", "c.tar.gz", "--no-doctor", "--no-recording"]) == 0
    assert "recording.jsonl.gz" not in contents("c.tar.gz")


def test_a_recording_of_another_node_is_noted(tmp_path: Path) -> None:
    raw = str(recording(tmp_path / "raw.jsonl.gz"))
    with read_recording(raw) as reader:
        host = reader.hello.host.host
    for name, said in ((host, False), ("node-1a2b3c", True)):
        saved(with_provenance(BEFORE, host=name))
        assert run_cli(["bundle", "d.json", "--recording", raw, "-o", "b.tar.gz", "--no-doctor"]) == 0
        notes = json.loads(contents("b.tar.gz")["MANIFEST.json"])["notes"]
        assert any("not the node of the diagnosis" in note for note in notes) is said


def test_a_look_at_this_node(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    env = on_simulated(nvml_stub, "host", tmp_path)
    args = ("bundle", "--live", "--duration", "1s", "--interval", "200ms", "-o", str(tmp_path / "b.tar.gz"))
    done = advisor(*args, env=env)
    assert done.returncode == 0, done.stderr
    found = contents(tmp_path / "b.tar.gz")
    assert set(found) == MEMBERS | {"recording.jsonl.gz"}
    assert decode(found["diagnosis.json"]).provenance.command == "advisor replay recording.jsonl.gz --once"
    without = advisor(*args[:-1], str(tmp_path / "c.tar.gz"), env=without_driver(tmp_path))
    assert without.returncode == 3
    assert not (tmp_path / "c.tar.gz").exists()


def test_a_recording_that_was_cut_off_is_kept_as_far_as_it_is_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = recording(tmp_path / "raw.jsonl")
    raw.write_bytes(raw.read_bytes()[:-40])
    assert run_cli(["bundle", str(raw), "-o", "b.tar.gz", "--no-doctor"]) == 0
    assert "cut off" in capsys.readouterr().err
    notes = json.loads(contents("b.tar.gz")["MANIFEST.json"])["notes"]
    assert any("1 damaged line" in note for note in notes)


def test_too_large_for_a_ticket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from advisor.cli import bundle_parts, bundling

    monkeypatch.setattr(bundling, "JIRA_BYTES", 10)
    assert run_cli(["bundle", saved(BEFORE), "-o", "b.tar.gz", "--no-doctor"]) == 0
    assert "Jira takes 10 MB" in capsys.readouterr().err
    monkeypatch.setattr(bundle_parts, "MAX_RECORDING_BYTES", 10)
    monkeypatch.setattr(bundle_parts, "CHECK_EVERY", 1)
    raw = str(recording(tmp_path / "raw.jsonl.gz"))
    assert run_cli(["bundle", raw, "-o", "c.tar.gz", "--no-doctor"]) == 2
    assert "--no-recording" in capsys.readouterr().err
    assert not Path("c.tar.gz").exists()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"not json", b"\x1f\x8b\x08\x00", b'{"type":"hello"}', b"\x00" * 99]
)
def test_bad_input_makes_nothing_and_loses_nothing(
    content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad").write_bytes(content)
    Path("b.tar.gz").write_bytes(b"the old one")
    assert run_cli(["bundle", "bad", "-o", "b.tar.gz"]) == 2
    assert "fix:" in capsys.readouterr().err
    assert Path("b.tar.gz").read_bytes() == b"the old one"
    assert sorted(p.name for p in Path().iterdir() if p.name != "config") == ["b.tar.gz", "bad"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["-o", "-"], "not for stdout"),
        (["-o", "."], "is a folder"),
        (["--live"], "no file"),
        (["-o", "none/b.tar.gz"], "is not a folder"),
        (["-o", "d.json"], "is what is to be bundled"),
        (["--recording", "none.jsonl"], "none.jsonl"),
        (["--recording", "d.json"], "not a recording"),
        (["--recording", "x", "--no-recording"], "give one of them"),
        (["--price", "3"], "--price is for recordings"),
        (["--duration", "5m"], "--duration says how to look, and goes with --live"),
        (["--interval", "2s"], "goes with --live"),
    ],
)
def test_wrong_use_says_what_to_do(args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path(saved(BEFORE)).read_bytes()
    assert run_cli(["bundle", "d.json", "--no-doctor", *args]) == 2
    assert said in capsys.readouterr().err
    assert Path("d.json").read_bytes() == before


def test_links_are_followed_and_never_put_in(tmp_path: Path) -> None:
    saved(BEFORE, "real.json")
    Path("link.json").symlink_to("real.json")
    Path("kept").mkdir()
    Path("out.tar.gz").symlink_to("kept/b.tar.gz")
    assert run_cli(["bundle", "link.json", "-o", "out.tar.gz", "--no-doctor"]) == 0
    assert Path("out.tar.gz").is_symlink()
    assert set(contents("kept/b.tar.gz")) == MEMBERS - {"doctor.json", "doctor.txt"}


def test_the_default_name_holds_no_path(capsys: pytest.CaptureFixture[str]) -> None:
    look = with_provenance(BEFORE, host="node-1a2b3c", created="../../etc/2026-01-01T10:11:12")
    assert run_cli(["bundle", saved(look), "--no-doctor"]) == 0
    (made,) = Path().glob("advisor-bundle-*.tar.gz")
    assert made.name.startswith("advisor-bundle-node-1a2b3c-")


def test_a_disk_that_fills_leaves_no_part(tmp_path: Path) -> None:
    class Full(Item, frozen=True):
        def open(self) -> Any:
            raise OSError(28, "No space left on device")

    whole = Item(name="a", what="fits", data=b"1")
    manifest = Manifest(
        advisor_version="0",
        diagnosis_schema_version=1,
        created="",
        host="",
        source="",
        synthetic=True,
        is_redacted=True,
    )
    with pytest.raises(OSError, match="No space"):
        write_bundle(tmp_path / "b.tar.gz", [whole, Full(name="b", what="does not", data=b"2")], manifest)
    assert list(tmp_path.glob("*b.tar.gz*")) == []
    assert list(tmp_path.glob(".advisor-*")) == []


def test_scrubbing_leaves_ordinary_words() -> None:
    scrub = Scrubber(["node", "big-host.example"], ["root", "ann"], ["/root"])
    text = (
        "the node annotates rooted trees; no root, see /root/x and /data/ann/x on big-host, not big-hostage"
    )
    shown = scrub.text(text)
    assert "the node annotates rooted trees; no root" in shown
    assert "~/x" in shown
    assert "/data/ann/" not in shown
    assert "big-host," not in shown
    assert "big-hostage" in shown
    assert scrub.text(shown) == shown
    assert Scrubber(["big-host"], off=True).text(text) == text
