"""Folders that another process controls: links in them lead nowhere that it could not go itself."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from advisor.traces.errors import TraceError
from advisor.traces.ondemand.places import Scratch, acting_as, folder_of
from advisor.traces.ondemand.sockets import Holder, holder_of, listening
from advisor.traces.ondemand.target import Target
from tests.advisor.traces.ondemand.asked import helper, who_is

NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root asks processes of others")


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A folder of another user's, where that user can reach it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        os.chown(made, NOBODY, NOBODY)
        yield Path(made)


def _nobody(folder: Path | None) -> Target:
    return msgspec.structs.replace(who_is(os.getpid(), folder), uid=NOBODY, gid=NOBODY)


def _listen(who: Target, said: list[str] | None = None, busy_s: float = 0.0) -> None:
    with listening(who, ([] if said is None else said).append, busy_s):
        pass


@root_only
def test_root_makes_the_socket_with_the_rights_of_the_process(theirs: Path) -> None:
    with listening(_nobody(theirs), print, 0.0):
        assert (theirs / "dynolog").stat().st_uid == NOBODY
    assert not (theirs / "dynolog").exists()
    assert (os.geteuid(), os.getegid()) == (0, 0)


@root_only
def test_a_link_to_a_folder_of_root_is_not_followed(theirs: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as closed:
        (theirs / "sockets").symlink_to(closed)
        with pytest.raises(TraceError, match="Permission denied"):
            _listen(_nobody(theirs / "sockets"))
        assert not list(Path(closed).iterdir())


@root_only
def test_a_link_in_the_sockets_place_harms_no_other_file(theirs: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("root's")
    (theirs / "dynolog").symlink_to(victim)
    with pytest.raises(TraceError, match="serves the profiler's socket already"):
        _listen(_nobody(theirs))
    assert (victim.stat().st_uid, victim.read_text()) == (0, "root's")


@root_only
def test_the_folder_of_a_trace_belongs_to_the_process(tmp_path: Path) -> None:
    scratch = Scratch(_nobody(None))
    try:
        assert (scratch.outside.stat().st_uid, scratch.outside.stat().st_mode & 0o777) == (NOBODY, 0o700)
        (scratch.outside / "mine.json").write_text("root's")
        assert scratch.size("mine.json") == -1
        with pytest.raises(TraceError, match=r"is no file of process|Permission denied"):
            scratch.open("mine.json")
    finally:
        scratch.remove()
        scratch.close()
    assert not scratch.outside.exists()


def test_a_trace_that_is_a_link_is_not_read(tmp_path: Path) -> None:
    scratch = Scratch(who_is(os.getpid(), None))
    try:
        (tmp_path / "secret").write_text("secret")
        (scratch.outside / "t.json").symlink_to(tmp_path / "secret")
        os.mkfifo(scratch.outside / "pipe")
        assert (scratch.size("t.json"), scratch.size("pipe")) == (-1, -1)
        for name in ("t.json", "pipe"):
            with pytest.raises(TraceError, match=r"cannot be read|is no file of"):
                scratch.open(name)
    finally:
        scratch.remove()
        scratch.close()
    assert (tmp_path / "secret").exists()


def test_links_are_resolved_inside_the_root_of_the_process(tmp_path: Path) -> None:
    inside = tmp_path / "root"
    (inside / "run" / "sockets").mkdir(parents=True)
    (inside / "var").mkdir()
    (inside / "var" / "run").symlink_to("/run")
    (inside / "up").symlink_to("../../../../../run")
    (inside / "loop").symlink_to("loop")
    who = msgspec.structs.replace(who_is(os.getpid(), None), root=str(inside))
    for path in ("/var/run/sockets", "/up/./sockets", "/../run/sockets", "/var/run/../run/sockets"):
        with folder_of(who, path) as handle:
            assert os.path.samestat(os.fstat(handle), (inside / "run" / "sockets").stat())
    for path in ("/loop", "/none", "/etc", "../etc"):
        with pytest.raises(OSError, match=r"."), folder_of(who, path):
            pass


@root_only
def test_in_a_container_the_socket_has_the_name_that_the_process_looks_for(tmp_path: Path) -> None:
    inside = tmp_path / "root"
    (inside / "run").mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir="/tmp") as outside:
        (inside / "sockets").symlink_to("/run")
        (inside / outside[1:]).mkdir(parents=True)
        for where in ("/sockets", outside):
            who = msgspec.structs.replace(who_is(os.getpid(), Path(where)), root=str(inside))
            with listening(who, print, 0.0) as listener:
                assert listener.getsockname() == f"{where}/dynolog"
                assert [p.is_socket() for p in inside.rglob("dynolog")] == [True]
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as profiler:
                    asked_from = next(inside.rglob("dynolog")).with_name("client")
                    profiler.bind(str(asked_from))
                    listener.answer(b"order", f"{where}/client")  # as the process has it
                    assert profiler.recv(9) == b"order"
                    asked_from.unlink()
            assert not list(inside.rglob("dynolog"))
        assert not list(Path(outside).iterdir())


def test_rights_that_cannot_be_had_are_said() -> None:
    if os.geteuid() == 0:
        code = f"import os; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY}); "
    else:
        code = ""
    code += (
        "from tests.advisor.traces.ondemand.asked import who_is; import msgspec, os\n"
        "from advisor.traces.errors import TraceError\n"
        "from advisor.traces.ondemand.places import acting_as\n"
        "try:\n  with acting_as(msgspec.structs.replace(who_is(1, None), uid=0)): pass\n"
        "except TraceError as error: print(error.message)"
    )
    imports = "import advisor.traces.ondemand.places, tests.advisor.traces.ondemand.asked, msgspec; "
    done = subprocess.run([sys.executable, "-c", imports + code], capture_output=True, text=True, check=False)
    assert "belongs to another user" in done.stdout, done.stderr


def test_a_socket_that_nobody_serves_is_put_away(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(tmp_path / "dynolog"))
    with listening(who_is(os.getpid(), tmp_path), print, 0.0) as listener:
        assert listener.getsockname() == str(tmp_path / "dynolog")
    assert not (tmp_path / "dynolog").exists()


def test_a_file_that_is_no_socket_stays(tmp_path: Path) -> None:
    (tmp_path / "dynolog").write_text("mine")
    with pytest.raises(TraceError, match="already"):
        _listen(who_is(os.getpid(), tmp_path))
    assert (tmp_path / "dynolog").read_text() == "mine"


def test_a_path_too_long_for_a_socket_is_said(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="too long for a socket") as caught:
        _listen(who_is(os.getpid(), tmp_path / ("x" * 120)))
    assert "54 characters or less" in caught.value.fix


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="No such file or directory"):
        _listen(who_is(os.getpid(), tmp_path / "none"))


def test_a_relative_folder_is_the_processs_own(tmp_path: Path) -> None:
    (tmp_path / "rel").mkdir()
    with helper(f"import os; os.chdir({str(tmp_path)!r}); print(flush=True); input()") as started:
        assert started.stdout is not None
        started.stdout.readline()
        with listening(who_is(started.pid, Path("rel")), print, 0.0) as listener:
            assert listener.getsockname() == "rel/dynolog"  # the profiler looks at the name's beginning
            assert (tmp_path / "rel" / "dynolog").is_socket()


def test_who_serves_the_socket_is_named(tmp_path: Path) -> None:
    where = str(tmp_path / "dynolog")
    code = f"import socket; s = socket.socket(1, 2); s.bind({where!r}); print(flush=True); input()"
    with helper(code) as daemon:
        assert daemon.stdout is not None
        daemon.stdout.readline()
        with pytest.raises(
            TraceError, match=rf"process {daemon.pid} \(.*serves the profiler's socket already"
        ):
            _listen(who_is(os.getpid(), tmp_path))
    assert (tmp_path / "dynolog").exists()


def test_another_advisor_is_waited_for(tmp_path: Path) -> None:
    code = (
        f"import socket, time; s = socket.socket(1, 2); s.bind({str(tmp_path / 'dynolog')!r}); "
        "print(flush=True); time.sleep(0.5); s.close()"
    )
    said: list[str] = []
    with helper(code, words=("advisor", "trace", "--pid", "7")) as other:
        assert other.stdout is not None
        other.stdout.readline()
        _listen(who_is(os.getpid(), tmp_path), said, 20.0)
    assert len(said) == 1
    assert "waiting for it to end" in said[0]


def test_a_holder_that_cannot_be_seen(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    assert holder_of(abstract=True, proc=tmp_path) == Holder(None)
    (tmp_path / "net" / "unix").write_text(
        "Num ...\n0000: 00000002 00000000 00000000 0002 01 4711 @dynolog@\n"
    )
    assert holder_of(abstract=True, proc=tmp_path) == Holder(None)
    (tmp_path / "12" / "fd").mkdir(parents=True)
    (tmp_path / "12" / "fd" / "3").symlink_to("socket:[4711]")
    (tmp_path / "12" / "cmdline").write_bytes(b"/usr/bin/dynolog\0--port\0")
    assert holder_of(abstract=True, proc=tmp_path) == Holder(12, ("/usr/bin/dynolog", "--port"))


def test_its_own_rights_are_kept_where_they_do() -> None:
    with acting_as(who_is(os.getpid(), None)):
        assert os.geteuid() == who_is(os.getpid(), None).uid
