"""Files are written whole or not at all."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from advisor.reports.errors import WriteError
from advisor.reports.files import write_atomic


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_writes_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    write_atomic(path, b"hello\n")
    assert path.read_bytes() == b"hello\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == ["report.md"]


def test_replaces_and_tightens_the_mode(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    path.write_bytes(b"old, and longer than the new one")
    path.chmod(0o644)
    write_atomic(str(path), b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_keeps_the_old_file_on_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    path = tmp_path / "report.md"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if broken == "fsync" else Path, broken, fail)
    with pytest.raises(WriteError, match="No space left on device") as caught:
        write_atomic(path, b"new")
    assert caught.value.fix
    assert caught.value.errno == 28
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["report.md"]


def test_leaves_nothing_behind_when_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "report.md", b"new")
    assert names(tmp_path) == []


def test_refuses_a_folder(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="it is a folder") as caught:
        write_atomic(tmp_path, b"x")
    assert caught.value.fix


@pytest.mark.parametrize("name", ["missing/report.md", "file/report.md"])
def test_names_the_folder_that_is_not_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WriteError, match="there is no folder"):
        write_atomic(tmp_path / name, b"x")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="takes a folder that makes no files")
def test_a_folder_that_makes_no_files_is_not_said_to_be_missing() -> None:
    with pytest.raises(WriteError, match=r"no file can be made in this folder|no permission"):
        write_atomic(Path("/proc/x.html"), b"x")


def test_says_when_permission_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(WriteError, match="no permission"):
        write_atomic(tmp_path / "report.md", b"x")


def test_an_error_cannot_drive_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[31m").mkdir()
    with pytest.raises(WriteError) as caught:
        write_atomic(tmp_path / "a\x1b[31m", b"x")
    assert "\x1b" not in str(caught.value)


def test_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.md").write_bytes(b"old")
    link = tmp_path / "link.md"
    link.symlink_to("real.md")
    write_atomic(link, b"new")
    assert link.is_symlink()
    assert (tmp_path / "real.md").read_bytes() == b"new"


def test_writes_into_a_pipe_without_replacing_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_atomic(pipe, b"through")
    reader.join(10)
    assert read == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
