"""Folded stacks from a hostile process: bounded, escaped, and shares that add up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.telemetry import stacks_parse as parsing
from advisor.telemetry.stacks_activity import FrameText, name_activity, shown_frame
from advisor.telemetry.stacks_parse import Thread, ThreadTime
from advisor.telemetry.stacks_source import FILE_LIMIT_BYTES, SourceLines
from rules.stacks import ACTIVITY_WORDS, CAUSE_OF, StackGroup

hostile = st.text(alphabet=st.sampled_from("aé\x1b[;() :0\u202e\x00\ud800<>m\n"), max_size=60)
lines = st.builds(
    "thread ({}): {};{} ({}:{}) {}".format,
    st.integers(0, 5), hostile, hostile, hostile, st.integers(0, 10**12), st.integers(0, 10**12),
)  # fmt: skip


def no_source(_file: str, _line: int) -> str:
    return ""


def grouped(text: str, pid: int = 1) -> tuple[StackGroup, ...]:
    threads = parsing.by_thread(parsing.parse(text))
    return parsing.groups([parsing.tally(t, seen, no_source) for t, seen in threads.items()], pid)


@settings(max_examples=200, deadline=None)
@given(st.lists(lines | hostile, max_size=8).map("\n".join))
def test_any_text_gives_groups_that_hold(text: str) -> None:
    groups = grouped(text)
    sums: dict[tuple[str, bool], float] = {}
    for group in groups:
        assert 0.0 < group.frac <= 1.0
        assert group.activity in ACTIVITY_WORDS
        assert len(group.thread) <= 64 and len(group.frame) <= parsing.FRAME_LIMIT + 4
        assert (group.thread + group.frame).isprintable()
        sums[group.thread, group.main] = sums.get((group.thread, group.main), 0.0) + group.frac
    assert len(groups) <= parsing.GROUPS_LIMIT


def test_a_flood_of_lines_threads_and_frames_is_cut() -> None:
    deep = ";".join(f"f{i} (/a.py:{i})" for i in range(1, 2000))
    many = "\n".join(f"thread ({i}): t{i};{deep[:200]}f (/a.py:1) 1" for i in range(11_000))
    assert len(parsing.parse(many)) <= parsing.LINES_LIMIT
    assert len(parsing.by_thread(parsing.parse(many))) == parsing.THREADS_LIMIT
    assert len(parsing.parse(f"thread (1): m;{deep} 1")[0].frames) == 60
    assert parsing.parse("thread (1): m;" + "x" * 100_000 + " 1") == []


DATALOADER = "/v/torch/utils/data/dataloader.py"
USER = "f (/w/a.py:1)"
WAIT, GET = "Condition.wait (/l/threading.py:3)", "Queue.get (/l/queue.py:1)"
SCALAR = "at::native::_local_scalar_dense_cuda (libtorch_cuda.so)"
C10D, LOGGED = "/v/torch/distributed/distributed_c10d.py", "wrapper (/v/torch/distributed/c10d_logger.py:9)"
SAVE = "save (/v/torch/serialization.py:2)"
CASES = [
    ("loader-wait", (WAIT, GET, f"_try_get_data ({DATALOADER}:1)")),
    ("queue-wait", (WAIT, GET, USER)),
    ("lock", (WAIT, "Event.wait (/l/threading.py:9)", USER)),
    ("decode", ("load (/v/PIL/Image.py:3)", f"fetch ({DATALOADER}:1)", USER)),
    ("synchronise", ("cudaStreamSynchronize (libcudart.so.13)", USER)),
    ("synchronise", ("0x7f00 (libcuda.so.1)", SCALAR, USER)),
    ("transfer", ("cudaMemcpyAsync (libcudart.so.13)", USER)),
    ("launch", ("cudaLaunchKernel (libcudart.so.13)", USER)),
    ("launch", ("Module._call_impl (/v/torch/nn/modules/module.py:9)", USER)),
    ("tokenise", ("_tokenize (/v/transformers/models/bert/tokenization_bert.py:9)", USER)),
    ("checkpoint", ("_save (/v/torch/serialization.py:9)", SAVE, USER)),
    ("serialise", ("load (/v/torch/serialization.py:9)", USER)),
    ("serialise", ("JSONEncoder.encode (/usr/lib/python3.12/json/encoder.py:9)", USER)),
    ("child", ("_PollLikeSelector.select (/usr/lib/python3.12/selectors.py:9)",
               "Popen.communicate (/usr/lib/python3.12/subprocess.py:9)", USER)),
    ("remote", ("SSLSocket.read (/usr/lib/python3.12/ssl.py:9)",
                "read (/v/lib/python3.12/site-packages/botocore/response.py:9)", USER)),
    ("idle", ("socket.accept (/usr/lib/python3.12/socket.py:9)", USER)),
    ("network", ("SSLSocket.read (/usr/lib/python3.12/ssl.py:9)", USER)),
    ("idle", ("EpollSelector.select (/usr/lib/python3.12/selectors.py:9)", USER)),
    ("collective", (f"all_reduce ({C10D}:1)", LOGGED, USER)),
    ("collective", (f"barrier ({C10D}:1)", LOGGED, USER)),
    ("collective", ("cudaStreamSynchronize (libcudart.so.13)", f"barrier ({C10D}:1)", LOGGED, USER)),
    ("collective", ("c10d::ProcessGroupNCCL::WorkNCCL::synchronize (libtorch_cuda.so)", USER)),
    ("collective", ("epoll_wait (libc.so.6)", "gloo::UnboundBuffer::waitRecv (libtorch_cpu.so)", USER)),
    ("collective", ("MPI_Allreduce (libmpi.so.40)", USER)),
    ("checkpoint", (f"barrier ({C10D}:1)", "save (/v/torch/distributed/checkpoint/saver.py:1)", USER)),
    ("serialise", ("dumps (/l/pickle.py:1)", f"all_gather_object ({C10D}:1)", USER)),
    ("compute", (f"get_rank ({C10D}:1)", USER)),
    ("compute", (USER,)),
]  # fmt: skip


@pytest.mark.parametrize(("activity", "frames"), CASES)
def test_the_innermost_known_frame_names_the_activity(activity: str, frames: tuple[str, ...]) -> None:
    folded = ";".join(reversed(frames))
    (stack,) = parsing.parse(f"thread (7): MainThread;{folded} 3")
    assert name_activity(stack.frames).activity == activity


@pytest.mark.parametrize(
    ("line", "activity"),
    [
        ("total += loss.item()", "synchronise"),
        ("x = batch.to(device, non_blocking=True)", "transfer"),
        ("blob = pickle.dumps(state)", "serialise"),
        ("ids = tokenizer(text)", "tokenise"),
        ("loss.backward()", "launch"),
        ("with self._lock:", "lock"),
        ("time.sleep(1)", "idle"),
        ("x += 1", "compute"),
        ("dist.all_reduce(grad)", "collective"),
        ("torch.distributed.barrier()", "collective"),
        ("work.wait()", "collective"),
        ("handles[i].wait()", "collective"),
        ("comm.Allreduce(a, b)", "collective"),
        ("MPI.COMM_WORLD.Barrier()", "collective"),
        ("x = functools.reduce(f, xs)", "compute"),
        ("with block:", "entering"),
        ("with clock:", "entering"),
        ("with self.assemble():", "entering"),
        ("with lock:", "lock"),
        ("with self.cache_lock, other:", "lock"),
        ("with threading.RLock():", "lock"),
        ("x = x.to(torch.bfloat16)", "launch"),
        ("x = x.to(weight.dtype)", "launch"),
        ("x = x.to(self.device)", "transfer"),
        ("x = x.to(torch.device(name))", "transfer"),
        ("x = x.to(f'cuda:{i}')", "transfer"),
        ("x = x.to(local_rank)", "transfer"),
        ("x = x.to(0)", "transfer"),
        ("x = x.to('cpu')", "synchronise"),
    ],
)
def test_the_source_line_tells_what_has_no_frame(line: str, activity: str) -> None:
    assert name_activity((FrameText("f", "/w/a.py", 3),), line).activity == activity


def test_every_activity_has_words_and_points_to_a_cause() -> None:
    from rules.headline import CAUSES

    assert set(CAUSE_OF) <= set(ACTIVITY_WORDS)
    assert set(CAUSE_OF.values()) <= set(CAUSES)


def one(**counts: int) -> parsing.Tally:
    stacks = [parsing.Stack(Thread(1, "MainThread"), (FrameText("f", "/w/a.py", 3),), counts["compute"])]
    return parsing.tally(Thread(1, "MainThread"), stacks, no_source)


def test_time_off_cpu_in_python_is_the_gil_as_far_as_others_hold_it() -> None:
    waiting = parsing.with_gil(one(compute=100), ThreadTime(0.3, 0.1), others_hold=0.9)
    assert (waiting.counts["gil"], waiting.counts["compute"]) == (60, 40)
    assert parsing.with_gil(one(compute=100), ThreadTime(0.3, 0.1), others_hold=0.2).counts["gil"] == 20
    assert parsing.with_gil(one(compute=100), ThreadTime(0.98, 0.0), others_hold=0.9).counts["gil"] == 0
    assert parsing.with_gil(one(compute=100), None, others_hold=0.9).counts["gil"] == 0


def test_time_off_cpu_that_nobody_held_the_gil_in_is_a_call_that_waits() -> None:
    asleep = parsing.with_blocked(one(compute=100), ThreadTime(0.01, 0.0))
    assert (asleep.counts["blocked"], asleep.counts["compute"], asleep.works) == (99, 1, 0.01)
    assert asleep.frames["blocked"] == FrameText("f", "/w/a.py", 3)
    for time in (ThreadTime(0.9, 0.0), ThreadTime(0.4, 0.5), None):
        assert parsing.with_blocked(one(compute=100), time).counts == {"compute": 100}


@pytest.mark.parametrize(
    ("time", "locked"), [(ThreadTime(0.0, 0.0), 100), (ThreadTime(0.6, 0.1), 30), (None, 0)]
)
def test_a_with_statement_is_a_lock_as_far_as_the_thread_was_off_its_core(
    time: ThreadTime | None, locked: int
) -> None:
    stacks = [parsing.Stack(Thread(1, "MainThread"), (FrameText("f", "/w/a.py", 3),), 100)]
    standing = parsing.tally(Thread(1, "MainThread"), stacks, lambda _file, _line: "    with block:")
    told = parsing.entered(standing, time)
    assert (told.counts["lock"], told.counts["compute"], sum(told.counts.values())) == (
        locked,
        100 - locked,
        100,
    )


LIBRARIES = (
    "/usr/lib/python3.12/json/encoder.py",
    "/venv/lib/python3.11/site-packages/torch/_tensor.py",
    "/usr/lib/python3/dist-packages/yaml/__init__.py",
    "/opt/conda/lib/python3.13t/threading.py",
    "<frozen importlib._bootstrap>",
    "/venv/bin/torchrun",
)


@pytest.mark.parametrize("file", LIBRARIES)
def test_the_frame_shown_is_the_nearest_of_the_program_itself(file: str) -> None:
    inner, mine = FrameText("inner", file, 9), FrameText("step", "/work/train.py", 4)
    shown = shown_frame(
        (FrameText("deepest", file, 1), inner, mine, FrameText("main", "/work/a.py", 1)), inner
    )
    assert parsing.frame_text(shown) == "step calling inner (/work/train.py:4)"
    assert shown_frame((inner,), inner) == inner
    assert shown_frame((mine, inner), mine) == mine


def test_source_lines_are_read_with_care(tmp_path: Path) -> None:
    mine = SourceLines(os.getpid())
    good, pipe, big = tmp_path / "a.py", tmp_path / "pipe.py", tmp_path / "big.py"
    good.write_bytes(b"one\nloss.item() \xff\n")
    os.mkfifo(pipe)
    big.write_bytes(b"x" * (FILE_LIMIT_BYTES + 1))
    assert mine.line(str(good), 2).startswith("loss.item()")
    assert [mine.line(str(path), 1) for path in (pipe, big, tmp_path, Path("/etc/passwd"))] == [""] * 4
    assert mine.line(str(good), 99) == mine.line(str(good), 0) == ""
    assert mine.line("/\x00.py", 1) == ""


@pytest.fixture
def jail(tmp_path: Path) -> Path:
    """The root of process 7, whose working directory is /work in it."""
    (tmp_path / "proc" / "7").mkdir(parents=True)
    (tmp_path / "jail" / "work").mkdir(parents=True)
    (tmp_path / "proc" / "7" / "root").symlink_to(tmp_path / "jail")
    (tmp_path / "proc" / "7" / "cwd").symlink_to(tmp_path / "jail" / "work")
    (tmp_path / "jail" / "work" / "a.py").write_text("inside")
    return tmp_path / "jail"


def test_links_lead_to_what_they_lead_to_in_the_process(jail: Path) -> None:
    (jail.parent / "a.py").write_text("outside")
    (jail / "link.py").symlink_to("/work/a.py")
    (jail / "scratch").symlink_to("/work/../../../work")
    (jail / "up.py").symlink_to(f"../../..{jail.parent}/a.py")
    (jail / "out.py").symlink_to(jail.parent / "a.py")
    (jail / "work" / "back.py").symlink_to("../link.py")
    (jail / "circle.py").symlink_to("circle.py")
    (jail / "grows").symlink_to("grows/" * 100)
    seen = SourceLines(7, jail.parent / "proc")
    inside = ("/work/a.py", "a.py", "./a.py", "/link.py", "/scratch/a.py", "back.py", "/../work/a.py")
    assert {name: seen.line(name, 1) for name in inside} == dict.fromkeys(inside, "inside")
    outside = ("/up.py", "/out.py", "../../a.py", "/circle.py", "/grows/a.py", "/a/" * 300 + "a.py")
    assert {name: seen.line(name, 1) for name in outside} == dict.fromkeys(outside, "")


def test_a_device_or_pipe_behind_a_link_is_never_opened(jail: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(jail / "pipe.py")
    (jail / "pipe").symlink_to("/pipe.py")
    (jail / "to_pipe.py").symlink_to("pipe")
    (jail / "device.py").symlink_to("/dev/null")
    opened: list[str] = []
    real = os.open

    def spy(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if not flags & os.O_PATH:
            opened.append(str(Path(path).resolve()))
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", spy)
    files = ("/pipe.py", "/to_pipe.py", "/device.py")
    assert [SourceLines(7, jail.parent / "proc").line(file, 1) for file in files] == [""] * 3
    (jail.parent / "proc" / "8").mkdir()
    (jail.parent / "proc" / "8" / "root").symlink_to("/")
    assert SourceLines(8, jail.parent / "proc").line(str(jail / "device.py"), 1) == ""
    assert opened == []
    assert SourceLines(7, jail.parent / "proc").line("/work/a.py", 1) == "inside"
    assert opened == [str(jail / "work" / "a.py")]


def test_no_descriptor_stays_open(jail: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    seen = SourceLines(7, jail.parent / "proc")
    for file in ("/work/a.py", "/none.py", "/work/a.py/b.py"):
        seen.line(file, 1)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
