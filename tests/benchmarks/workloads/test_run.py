"""The runner of one workload: what it prints, counts and answers."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.workloads import run
from benchmarks.workloads.catalogue import WORKLOADS
from benchmarks.workloads.spec import Account, Bench, UnavailableError, Workload

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


@pytest.fixture(autouse=True)
def _as_before(torch: Any) -> Iterator[None]:
    """The runner owns its process: signals, torch's threads and seeds are put back."""
    before, threads = {number: signal.getsignal(number) for number in SIGNALS}, torch.get_num_threads()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    torch.set_num_threads(threads)


def _small(name: str, *more: str) -> int:
    return run.main([name, "--device", "cpu", "--small", "--seconds", "0.05", *more])


def _with(monkeypatch: pytest.MonkeyPatch, setup: Callable[[Bench], Any]) -> None:
    """A workload called `made_up` in the catalogue."""
    made = Workload(
        name="made_up", family="made", label="host", cause="sync", truth="pure", about="-", setup=setup
    )
    monkeypatch.setitem(WORKLOADS, "made_up", made)


def test_a_run_says_that_it_started_and_what_it_counted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "account.json"
    assert _small("copy", "--accounting", str(file)) == 0
    first, last = capsys.readouterr().out.splitlines()
    told = json.loads(first)
    account = msgspec.json.decode(last, type=Account)
    assert (told["started"], told["pid"], told["device"]) == (True, account.pid, "CPU")
    assert msgspec.json.decode(file.read_bytes(), type=Account) == account
    assert account.wall_s >= 0.05
    assert account.steps > 0
    assert account.counts["bytes"] / account.steps == pytest.approx(account.counts["bytes"] // account.steps)


def test_counts_are_of_the_steps_after_warming_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[int] = []

    def step() -> dict[str, float]:
        calls.append(1)
        return {"launches": 2.0}

    _with(monkeypatch, lambda _: step)
    assert _small("made_up") == 0
    account = msgspec.json.decode(capsys.readouterr().out.splitlines()[-1], type=Account)
    assert account.counts == {"launches": 2.0 * account.steps}
    assert len(calls) == account.steps + run.WARM_STEPS


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UnavailableError("no cgroup here"), 3, "no cgroup here"),
        (RuntimeError("out of memory"), 1, "RuntimeError: out of memory"),
    ],
)
def test_what_goes_wrong_is_in_the_account(
    error: Exception,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def setup(_: Bench) -> Any:
        raise error

    _with(monkeypatch, setup)
    assert _small("made_up") == code
    said = capsys.readouterr()
    assert msgspec.json.decode(said.out, type=Account).error == words
    assert said.err == f"made_up: {words}\n"


def test_a_step_that_fails_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[int] = []

    class Failing:
        def __call__(self) -> dict[str, float]:
            raise ValueError("a step")

        def close(self) -> None:
            closed.append(1)

    _with(monkeypatch, lambda _: Failing())
    assert _small("made_up") == 1
    assert closed == [1]


def test_enough_is_accounted_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """SIGUSR1 from the recorder: the step is finished, and it ends long before its time."""
    calls: list[int] = []

    def step() -> dict[str, float]:
        calls.append(1)
        if len(calls) == run.WARM_STEPS + 2:
            signal.raise_signal(signal.SIGUSR1)
        return {}

    _with(monkeypatch, lambda _: step)
    assert run.main(["made_up", "--device", "cpu", "--seconds", "100"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out.splitlines()[-1], type=Account).steps == 2


def test_a_signal_ends_it_and_closes_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[int] = []

    class Ended:
        def __call__(self) -> dict[str, float]:
            signal.raise_signal(signal.SIGTERM)
            return {}

        def close(self) -> None:
            closed.append(1)

    _with(monkeypatch, lambda _: Ended())
    with pytest.raises(SystemExit) as ended:
        _small("made_up")
    assert ended.value.code == 143
    assert closed == [1]


def test_synchronising_keeps_to_its_pace(plain_bench: Bench) -> None:
    """Tiny steps: the number between two synchronisations grows, so that waiting is no part of the time."""
    counting = run.Counting(plain_bench, dict)
    counting.run(0.05)
    assert counting._between == run.MOST_STEPS


@pytest.mark.parametrize(
    ("name", "variant", "words"),
    [("free", "base", "free has no process"), ("copy", "fix", "copy has no fix to run")],
)
def test_a_variant_that_is_not_there_says_so(
    name: str, variant: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _small(name, "--variant", variant) == 3
    assert words in capsys.readouterr().err


def test_without_a_device_it_says_so(capsys: pytest.CaptureFixture[str], torch: Any) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert run.main(["copy"]) == 3
    assert "sees no CUDA device" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["nothing"], [], ["copy", "--seconds", "0"], ["copy", "--seconds", "nan"]]
)
def test_wrong_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run.main(arguments)
    assert ended.value.code == 2


def test_the_list_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(WORKLOADS)
