"""Names say what runs; commands keep flags and counts, and nothing that could be private."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.telemetry.commands import COMMAND_LIMIT, NAME_LIMIT, SPAWNED, process_name, short_command

SPAWN_CODE = "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5)"


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["python", "train.py", "--x"], "train.py"),
        (["/opt/conda/bin/python3.11", "-u", "/home/a/my run/train vit.py"], "train vit.py"),
        (["python3", "-m", "vllm.entrypoints.openai.api_server"], "vllm.entrypoints.openai.api_server"),
        (["python", "-um", "torch.distributed.run"], "torch.distributed.run"),
        (["python", "-W", "ignore", "-X", "dev", "-OO", "a.py"], "a.py"),
        (["python", "-c", "import torch; secret = 1"], "python -c"),
        (["python", "-c", SPAWN_CODE, "--multiprocessing-fork"], SPAWNED),
        (["python"], "python"),
        (["python", "-m"], "python"),
        (["python", "-"], "python"),
        (["/usr/bin/ollama", "serve"], "ollama"),
        (["VLLM::EngineCore"], "VLLM::EngineCore"),
        (["ray::Trainer.train() [busy]"], "ray::Trainer.train()"),
        (["./trtllm-serve", "model"], "trtllm-serve"),
        ([], "comm"),
        ([""], "comm"),
    ],
)
def test_names(argv: list[str], name: str) -> None:
    assert process_name(argv, "comm") == name


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (
            [
                "/usr/bin/python3",
                "-u",
                "/home/alice/train.py",
                "--num-workers",
                "8",
                "--lr=1e-4",
                "--data",
                "/home/alice/x",
            ],
            "python3 train.py --num-workers 8 --lr=1e-4 --data …",
        ),
        (
            ["python", "-m", "vllm.x", "--dtype", "bfloat16", "--max-num-batched-tokens", "8192"],
            "python -m vllm.x --dtype bfloat16 --max-num-batched-tokens 8192",
        ),
        (
            ["python", "t.py", "--token", "12345", "--api-key=7"],
            "python t.py --token REDACTED --api-key=REDACTED",
        ),
        (["llama-server", "-ngl", "99", "-psecretword", "-m", "/m/x.gguf"], "llama-server -ngl 99 -p… -m …"),
        (["python", "-c", "print('hf_abc')"], "python -c …"),
        (["ollama", "run", "model", "a prompt of mine"], "ollama …"),
        (["python", "t.py", "123456", "KEY=abc"], "python t.py …"),
        ([], None),
    ],
)
def test_commands(argv: list[str], command: str | None) -> None:
    assert short_command(argv) == command


@given(st.lists(st.text(), max_size=6), st.text())
def test_any_command_line_gives_short_printable_text(argv: list[str], comm: str) -> None:
    name, command = process_name(argv, comm), short_command(argv)
    assert name
    assert name.isprintable()
    assert len(name) <= NAME_LIMIT
    assert command is None or (command.isprintable() and len(command) <= COMMAND_LIMIT)


@given(
    st.text("abcdefghijklmnopqrstuvwxyz0123456789+/", min_size=14, max_size=30).map(lambda text: "zq" + text),
    st.sampled_from(["--x {}", "--x={}", "{}", "--token {}", "-p {}", "-p{}", "-p{}x", "X={}"]),
)
def test_no_word_of_an_argument_survives(value: str, form: str) -> None:
    command = short_command(["python", "train.py", *form.format(value).split(" "), "--seed", "1"])
    assert command is not None
    assert value not in command
