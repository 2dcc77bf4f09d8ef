"""Recordings lose nothing good: not by a kill, a full disk, a cut, damage, or a hostile file."""

from __future__ import annotations

import gzip
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.reports.redact import user_hash
from advisor.telemetry import lines
from advisor.telemetry.lines import LINE_LIMIT_BYTES
from advisor.telemetry.recording import Recorder, RecordingError, read_recording
from advisor.telemetry.recording_reader import WARNINGS_LIMIT
from advisor.telemetry.records import SCHEMA_VERSION, End, Frame, Message
from tests.advisor.telemetry.streams import HELLO, frame, messages, record

SUFFIXES = ["x.jsonl", "x.jsonl.gz"]
FRAMES: list[Message] = [frame(seq) for seq in range(20)]


def lines_of(path: Path) -> list[bytes]:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return data.splitlines(keepends=True)


@pytest.mark.parametrize("name", SUFFIXES)
def test_what_is_written_is_read(tmp_path: Path, name: str) -> None:
    path = record(tmp_path / name, [*FRAMES, End(t_s=2000, reason="done")])
    reader = read_recording(path)
    assert reader.hello.devices == HELLO.devices
    assert list(reader) == [*FRAMES, End(t_s=2000, reason="done")]
    assert reader.warnings == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@given(st.lists(messages, max_size=8), st.sampled_from(SUFFIXES))
def test_any_stream_comes_back(stream: list[Message], name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        with Recorder(path, redact=False) as recorder:
            for message in [HELLO, *stream]:
                recorder.write(message)
        assert list(read_recording(path)) == stream


def test_a_recording_is_one_json_document_a_line(tmp_path: Path) -> None:
    path = record(tmp_path / "x.jsonl", FRAMES)
    documents = [json.loads(line) for line in path.read_text().splitlines()]
    assert [document["type"] for document in documents] == ["hello", *["frame"] * 20]
    assert documents[0]["schema_version"] == SCHEMA_VERSION


@pytest.mark.parametrize("name", SUFFIXES)
def test_a_kill_loses_nothing_that_was_written(tmp_path: Path, name: str) -> None:
    program = """
        import os, signal, sys
        from pathlib import Path
        from advisor.telemetry.recording import Recorder
        from tests.advisor.telemetry.streams import HELLO, frame
        recorder = Recorder(Path(sys.argv[1]))
        recorder.write(HELLO)
        for seq in range(50):
            recorder.write(frame(seq))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    path = tmp_path / name
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(path)], cwd=root, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    reader = read_recording(path)
    assert [message.seq for message in reader if isinstance(message, Frame)] == list(range(50))
    assert len(reader.warnings) == (1 if name.endswith("gz") else 0)


@pytest.mark.parametrize("name", SUFFIXES)
def test_a_file_cut_anywhere_gives_what_is_good(tmp_path: Path, name: str) -> None:
    data = record(tmp_path / name, FRAMES[:6]).read_bytes()
    header = len(record(tmp_path / ("h" + name), []).read_bytes())
    before = 0
    for size in range(header, len(data), 7):
        cut = tmp_path / ("cut-" + name)
        cut.write_bytes(data[:size])
        reader = read_recording(cut)
        found = list(reader)
        assert found == FRAMES[: len(found)]
        assert len(found) >= before
        before = len(found)
    assert before >= 5


def test_a_truncated_last_line_is_read_past_with_a_warning(tmp_path: Path) -> None:
    path = record(tmp_path / "x.jsonl", FRAMES)
    path.write_bytes(path.read_bytes()[:-20])
    reader = read_recording(path)
    assert list(reader) == FRAMES[:-1]
    assert reader.warnings == ["x.jsonl, line 21: the last line is cut off: skipped"]
    assert reader.damaged == 1


def test_damaged_lines_are_skipped_and_named(tmp_path: Path) -> None:
    path = record(tmp_path / "x.jsonl", FRAMES)
    content = path.read_bytes().splitlines(keepends=True)
    content[3] = b'{"type":"frame","seq":\xff}\n'
    content[5] = b'{"type":"frame","seq":3,"t_s":1.0,"surprise":1}\n'
    content.insert(7, b"\n")
    content.insert(9, content[0])
    path.write_bytes(b"".join(content))
    reader = read_recording(path)
    kept = [message.seq for message in reader if isinstance(message, Frame)]
    assert kept == [seq for seq in range(20) if seq not in (2, 4)]
    assert [warning.split(":")[0] for warning in reader.warnings] == [
        f"x.jsonl, line {n}" for n in (4, 6, 10)
    ]
    assert reader.damaged == 3


def test_warnings_are_capped_and_counted(tmp_path: Path) -> None:
    path = record(tmp_path / "x.jsonl", [])
    path.write_bytes(path.read_bytes() + b"garbage\n" * 500)
    reader = read_recording(path)
    assert list(reader) == []
    assert reader.damaged == 500
    assert len(reader.warnings) == WARNINGS_LIMIT + 1
    assert reader.warnings[-1] == f"x.jsonl: {500 - WARNINGS_LIMIT} more like these"


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_any_bytes_after_the_header_are_survived(junk: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = record(Path(folder) / "x.jsonl", [])
        path.write_bytes(
            path.read_bytes() + b"\n".join(junk) + b"\n" + msgspec.json.encode(FRAMES[0]) + b"\n"
        )
        assert list(read_recording(path))[-1] == FRAMES[0]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(junk: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        for data in (junk, gzip.compress(junk), b"\x1f\x8b" + junk):
            path.write_bytes(data)
            with pytest.raises(RecordingError):
                read_recording(path)


@pytest.mark.parametrize(
    ("content", "says", "fix"),
    [
        (b"", "is empty", "advisor record"),
        (gzip.compress(b"", mtime=0), "is empty", "advisor record"),
        (b"hello\n", "is not a recording", "advisor record"),
        (b"[]\n", "is not a recording", "advisor record"),
        (b'{"type":"frame","seq":1,"t_s":1}\n', "is not a recording", "advisor record"),
        (b'{"schema_version":1,"provenance":{}}', "is not a recording", "advisor report"),
        (
            b'{"type":"hello","schema_version":3,"new":1}\n',
            "written by a newer advisor (schema 3, this one reads up to 1)",
            "upgrade",
        ),
        (b'{"type":"hello","schema_version":1,"t_s":1}\n', "header", "advisor record"),
        (b'{"type":"hello","schema_version":"1"}\n', "is not a recording", "advisor record"),
        (b"\xff\xfe\x00", "is not a recording", "advisor record"),
        (b"[" * 100_000 + b"\n", "is not a recording", "advisor record"),
    ],
)
def test_other_files_are_refused_with_what_to_do(tmp_path: Path, content: bytes, says: str, fix: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(RecordingError) as caught:
        read_recording(path)
    assert says in str(caught.value)
    assert fix in caught.value.fix


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, tmp_path / "nul\0name"):
        with pytest.raises(RecordingError) as caught:
            read_recording(path)
        assert caught.value.fix


def test_a_line_without_end_is_skipped_and_the_rest_is_read(tmp_path: Path) -> None:
    path = record(tmp_path / "x.jsonl", FRAMES[:1])
    with path.open("ab") as file:
        file.write(b"x" * (LINE_LIMIT_BYTES + 10) + b"\n" + msgspec.json.encode(FRAMES[1]) + b"\n")
    reader = read_recording(path)
    assert list(reader) == FRAMES[:2]
    assert reader.warnings == ["x.jsonl, line 3: longer than 16 MiB: skipped"]


def test_a_compressed_bomb_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_EXPANSION_FREE_BYTES", 1 << 20)
    path = record(tmp_path / "x.jsonl.gz", FRAMES[:3])
    squeeze = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    zeros = b"0" * (1 << 20)
    path.write_bytes(
        path.read_bytes() + b"".join(squeeze.compress(zeros) for _ in range(40)) + squeeze.flush()
    )
    reader = read_recording(path)
    assert list(reader) == FRAMES[:3]
    assert "400 to 1" in " ".join(reader.warnings)


def test_appended_and_padded_members_are_read(tmp_path: Path) -> None:
    path = record(tmp_path / "x.jsonl.gz", FRAMES[:2])
    more = gzip.compress(msgspec.json.encode(FRAMES[2]) + b"\n")
    path.write_bytes(path.read_bytes() + b"\0" * 512 + more + b"\0" * 3)
    reader = read_recording(path)
    assert list(reader) == FRAMES[:3]
    assert reader.warnings == []


def test_damage_inside_a_compressed_file_keeps_what_came_before(tmp_path: Path) -> None:
    path = record(tmp_path / "x.jsonl.gz", FRAMES)
    flushed = path.read_bytes().split(b"\0\0\xff\xff")
    reserved_block = b"\x06" * 300
    path.write_bytes(b"\0\0\xff\xff".join([*flushed[:8], reserved_block]))
    reader = read_recording(path)
    assert list(reader) == FRAMES[:7]
    assert reader.warnings == ["x.jsonl.gz, line 9: the compressed file is damaged from here on"]


def test_an_existing_file_is_kept_unless_told(tmp_path: Path) -> None:
    path = record(tmp_path / "x.jsonl", FRAMES)
    before = path.read_bytes()
    with pytest.raises(RecordingError, match="exists already") as caught:
        Recorder(path)
    assert caught.value.fix
    assert path.read_bytes() == before
    path.chmod(0o644)
    with Recorder(path, overwrite=True) as recorder:
        recorder.write(HELLO)
    assert list(read_recording(path)) == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="does not exist") as caught:
        Recorder(tmp_path / "no" / "x.jsonl")
    assert "mkdir" in caught.value.fix
    with pytest.raises(RecordingError):
        Recorder(tmp_path, overwrite=True)


def test_a_full_disk_is_said() -> None:
    recorder = Recorder("/dev/full", overwrite=True)
    for _ in range(2):
        with pytest.raises(RecordingError, match="disk is full") as caught:
            recorder.write(HELLO)
        assert "free space" in caught.value.fix
    recorder.close()


@pytest.mark.parametrize("name", SUFFIXES)
def test_a_disk_that_fills_up_keeps_what_was_written(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = [4000]

    def write(descriptor: int, data: bytes, real: object = os.write) -> int:
        part = bytes(data)[: max(0, min(room[0], 300))]
        if not part:
            raise OSError(28, "No space left on device")
        room[0] -= len(part)
        return real(descriptor, part)  # type: ignore[operator,no-any-return]

    path = tmp_path / name
    recorder = Recorder(path)
    monkeypatch.setattr("advisor.telemetry.recorder.os.write", write)
    recorder.write(HELLO)
    with pytest.raises(RecordingError, match="disk is full"):
        for seq in range(1000):
            recorder.write(frame(seq, name=os.urandom(20).hex()))
    written = recorder.messages
    recorder.close()
    monkeypatch.undo()
    assert written > 3
    assert len(list(read_recording(path))) == written - 1


def test_the_order_of_a_stream_is_kept(tmp_path: Path) -> None:
    with Recorder(tmp_path / "x.jsonl") as recorder:
        with pytest.raises(ValueError, match="Hello"):
            recorder.write(FRAMES[0])
        recorder.write(HELLO)
        with pytest.raises(ValueError, match="Hello"):
            recorder.write(HELLO)
    with pytest.raises(ValueError, match="closed"):
        recorder.write(FRAMES[0])
    recorder.close()


@pytest.mark.parametrize("name", SUFFIXES)
def test_a_recording_is_redacted(tmp_path: Path, name: str) -> None:
    path = record(tmp_path / name, [frame(0, name="t.py --token=abc1", user="alice")])
    text = b"".join(lines_of(path)).decode()
    assert "abc1" not in text
    assert "alice" not in text
    assert user_hash("alice") in text
    assert "user names hashed" in read_recording(path).hello.redacted


def test_redaction_can_be_left_out(tmp_path: Path) -> None:
    with Recorder(tmp_path / "x.jsonl", redact=False) as recorder:
        recorder.write(HELLO)
        recorder.write(frame(0, user="alice"))
    assert "alice" in (tmp_path / "x.jsonl").read_text()


def test_text_without_utf8_is_written_printable(tmp_path: Path) -> None:
    path = record(tmp_path / "x.jsonl", [frame(0, name="a\ud800b")])
    message = next(iter(read_recording(path)))
    assert isinstance(message, Frame)
    assert message.processes is not None
    assert message.processes[0].name == "a\ufffdb"
