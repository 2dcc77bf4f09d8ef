"""Secrets never survive, names become pseudonyms, and the rest stays readable."""

from __future__ import annotations

import json
import shlex
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from advisor.document import DeviceProvenance, Diagnosis, Flag, Provenance
from advisor.reports.redact import host_hash, redact_diagnosis, redact_message, user_hash
from advisor.reports.redact_frames import FRAME_METRIC, without_folders
from advisor.reports.redact_text import (
    REDACTED,
    SECRET_KINDS,
    is_secret_name,
    redact_command,
    redact_line,
    redact_text,
)
from advisor.telemetry.records import (
    End,
    Frame,
    Gap,
    Hello,
    HostInfo,
    Message,
    ProcessSample,
    Sample,
    StackLook,
)
from rules.evidence import Workload
from rules.finding import Finding
from rules.verdict import EvidenceItem, Verdict
from tests.rules.contexts import stacks_of

ALNUM = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

secrets_ = st.text(ALNUM, min_size=20, max_size=40).map(lambda text: "Zq9" + text)
odd_secrets = st.text(
    st.characters(codec="utf-8", exclude_categories=["Z", "C"], exclude_characters="\"'\\"),
    min_size=12,
    max_size=30,
).map(lambda text: "Zq9" + text + "x")
names = st.sampled_from(
    [
        "SECRET",
        "my_secret",
        "HF_TOKEN",
        "token",
        "WANDB_API_KEY",
        "api-key",
        "aws_access_key_id",
        "db.password",
        "PASSWD",
        "credentials",
        "key",
        "accessToken",
        "openai.api.key",
    ]
)
# Each plants a secret the way people really pass one.
plants = st.one_of(
    st.builds(lambda n, s: (f"--{n} {s}", s), names, odd_secrets),
    st.builds(lambda n, s: (f"--{n}={s}", s), names, odd_secrets),
    st.builds(lambda n, s: (f"{n}={s}", s), names, odd_secrets),
    st.builds(lambda n, s: (f"env --env={n}={s}", s), names, odd_secrets),
    st.builds(lambda n, s: (f"{n}='{s} {s}'", s), names, secrets_),
    st.builds(lambda n, s: (json.dumps({n: s, "lr": 1}), s), st.just("api_key"), secrets_),
    st.builds(lambda s: (f"password: {s}", s), odd_secrets),
    st.builds(lambda s: (f"curl -H 'Authorization: Bearer {s}' x", s), secrets_),
    st.builds(lambda s: (f"curl -H 'Authorization: Basic {s}==' x", s), secrets_),
    st.builds(lambda s: (f"curl -u alice:{s} x", s), secrets_),
    st.builds(lambda s: (f"git clone https://alice:{s}@host/repo", s), secrets_),
    st.builds(lambda s: (f"postgres://u:p@{s}@db/x", s), secrets_),
    st.builds(lambda s: (f"https://h/x?sig=1&token={s}&y=2", s), secrets_),
    st.builds(lambda s: (f"hf_{s}", s), secrets_),
    st.builds(lambda s: (f"x sk-proj-{s}", s), secrets_),
    st.builds(lambda s: (f"a,ghp_{s}", s), secrets_),
    st.builds(lambda s: (f"glpat-{s}", s), secrets_),
    st.builds(lambda s: (f"eyJhbGciOi.{s}.{s}", s), secrets_),
    st.builds(lambda s: (f"wandb login {s}", s), secrets_),
    st.builds(lambda s: (f"sshpass -p {s} ssh h", s), secrets_),
    st.builds(
        lambda s: (f"-----BEGIN RSA PRIVATE KEY-----\n{s}\n-----END RSA PRIVATE KEY-----", s), secrets_
    ),
    st.builds(lambda s: (f"-----BEGIN PRIVATE KEY-----\n{s}", s), secrets_),
)
around = st.sampled_from(
    ["", "python train.py --lr 1e-4", "a=b", "--out x", "'quoted", "[", "\\", "{}", "--"]
)
noise = st.one_of(
    st.text(),
    st.text(st.sampled_from("-=: \"'\\/@.token key api_KEY REDACTED ~home:/sk-hf_"), max_size=60),
)


@given(around, plants, around)
def test_a_planted_secret_never_survives(before: str, plant: tuple[str, str], after: str) -> None:
    text, secret = plant
    clean, kinds = redact_text(f"{before} {text} {after}")
    assert secret not in clean
    assert set(kinds) & set(SECRET_KINDS)


@given(st.one_of(noise, plants.map(lambda plant: plant[0])))
@example("--tokenhf_abcdefghijklmnopqrst y")
@example("/home/home/x/home/y")
def test_redaction_of_text_is_idempotent(text: str) -> None:
    once, _ = redact_text(text)
    again, kinds = redact_text(once)
    assert again == once
    assert kinds == []


@given(st.lists(st.one_of(noise, plants.map(lambda plant: plant[0]), names.map(lambda name: "--" + name))))
def test_redaction_of_a_command_is_idempotent(argv: list[str]) -> None:
    once, _ = redact_command(argv)
    assert redact_text(once)[0] == once


@given(names, odd_secrets, st.booleans())
def test_a_secret_argument_never_survives(name: str, secret: str, joined: bool) -> None:
    argv = [f"--{name}={secret}"] if joined else [f"--{name}", secret]
    line, kinds = redact_command(["python", "train.py", *argv, "--lr", "0.1"])
    assert secret not in line
    assert kinds == ["named secret"]
    assert shlex.split(line)[:2] == ["python", "train.py"]
    assert line.endswith("--lr 0.1")


@pytest.mark.parametrize(
    "text",
    [
        "python train.py --num-workers 8 --batch-size=32 --dtype bf16 --output out/run",
        "vllm serve meta-llama/Llama-3.1-8B --max-num-batched-tokens 8192 --tokenizer auto",
        "--max-new-tokens=512",
        "num_key_value_heads=8",
        "--api-server-count 4",
        "sm_active = 0.41, tensor_active = 0.22 (GPM, 300 sub-windows of 200 ms)",
        "9,010 tokens/s at 13.0 tokens/J",
        "Set `num_workers=14`, pin_memory=True, or decode on the GPU.",
        "GPU-6a1b2c3d-0000-1111-2222-333344445555",
        "see https://docs.nvidia.com/deploy/nvml-api/index.html",
        "disk-performance-benchmark-suite-long-name",
        "author: someone",
        "docker run -u 1000:1000 image",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert redact_text(text) == (text, [])


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("/home/alice/run/train.py", "~/run/train.py"),
        ("--data=/home/alice/data", "--data=~/data"),
        ("/nfs/home/alice/data", "/nfs/home/~/data"),
        ("/Users/alice", "~"),
        ("/home/~", "/home/~"),
        ("-I/home/alice/include", "-I/home/~/include"),
    ],
)
def test_home_directories_are_shortened(text: str, clean: str) -> None:
    assert redact_text(text)[0] == clean


def test_known_names() -> None:
    assert is_secret_name("WANDB_API_KEY")
    assert is_secret_name("--hf-token")
    assert not is_secret_name("--num-workers")
    assert not is_secret_name("rapids")


def test_a_command_counts_its_secrets() -> None:
    line, kinds = redact_command(["python", "/home/alice/t.py", "--token", "abc", "KEY=1", "--lr", "1"])
    assert line == "python ~/t.py --token REDACTED KEY=REDACTED --lr 1"
    assert sorted(kinds) == ["home path", "named secret", "named secret"]


@pytest.mark.parametrize(
    ("line", "clean"),
    [
        ("advisor run -- ./job -p secretpw", "advisor run -- ./job -p REDACTED"),
        ("advisor run -- ./job --token 'two words' --lr 1", "advisor run -- ./job --token REDACTED --lr 1"),
        ("./job --password -dash -v", "./job --password REDACTED -v"),
        ("./job -p 8080:80 -p 22", "./job -p 8080:80 -p 22"),
        ("mkdir -p /data/x ./y", "mkdir -p /data/x ./y"),
        ("./job -p --fast", "./job -p --fast"),
        ("docker run -u 1000:1000 image", "docker run -u 1000:1000 image"),
        ("advisor diagnose --gpu 0 --duration 30s", "advisor diagnose --gpu 0 --duration 30s"),
        ("./job 'never closed --token abc", "./job 'never closed --token REDACTED"),
    ],
)
def test_a_shell_line_is_redacted_word_by_word(line: str, clean: str) -> None:
    assert redact_line(line)[0] == clean
    assert redact_line(clean) == (clean, [])


@given(st.one_of(noise, plants.map(lambda plant: plant[0])))
def test_redaction_of_a_shell_line_is_idempotent(text: str) -> None:
    once, _ = redact_line(text)
    assert redact_line(once) == (once, [])


def test_the_command_of_a_document_is_redacted_word_by_word() -> None:
    clean = redact_diagnosis(diagnosis("./job -p secretpw /home/alice/x", user=None))
    assert clean.provenance.command == "./job -p REDACTED ~/x"
    assert "1 command-line secret" in clean.provenance.redacted


def test_hashes_are_stable_and_differ() -> None:
    assert host_hash("gpu01") == host_hash("gpu01") != host_hash("gpu02")
    assert user_hash(user_hash("alice")) == user_hash("alice") != user_hash("bob")
    assert host_hash("gpu01") == "node-" + host_hash("gpu01")[5:]
    assert len(host_hash("gpu01")) == len("node-7f3a1c")
    assert host_hash("lone \ud800").startswith("node-")


def diagnosis(text: str, user: str | None = "alice") -> Diagnosis:
    """A document with `text` wherever free text goes."""
    verdict = Verdict(
        key="GPU-0",
        gpu=0,
        mig=None,
        device_name="Simulated GPU",
        workload=Workload(pid=1, name=text, user=user, job="slurm:12"),
        class_="host",
        cause="input-pipeline",
        confidence=0.9,
        tier="counters",
        shares={"host": 1.0},
        evidence=(EvidenceItem(metric="command", value=text, unit=""),),
        headline=text,
    )
    finding = Finding(
        code="HOST003",
        title="t",
        severity="high",
        gpu=0,
        key="GPU-0",
        claim=text,
        confidence=1,
        share=1,
        actions=(text,),
    )
    return Diagnosis(
        provenance=Provenance(
            advisor_version="0",
            created="2026-01-01T00:00:00Z",
            source="live",
            host="gpu01.example.org",
            t_start_s=0,
            t_end_s=1,
            interval_s=1,
            gpm_interval_s=0.2,
            command=text,
            devices=(DeviceProvenance(key="GPU-0", gpu=0, name="Simulated GPU", unknown={"x": text}),),
        ),
        verdicts=(verdict,),
        findings=(finding,),
        flags=(Flag(code="gap", message=text),),
    )


def encoded(document: Diagnosis) -> str:
    return msgspec.json.encode(document).decode()


@given(plants)
def test_a_secret_leaves_every_corner_of_the_document(plant: tuple[str, str]) -> None:
    text, secret = plant
    clean = redact_diagnosis(diagnosis(text))
    assert secret not in encoded(clean)
    assert any("secret" in line for line in clean.provenance.redacted)


@given(noise)
def test_a_redacted_document_is_still_one_and_stays_so(text: str) -> None:
    once = redact_diagnosis(diagnosis(text))
    assert type(once) is Diagnosis
    assert redact_diagnosis(once) == once


def test_the_document_lists_what_was_redacted() -> None:
    document = diagnosis("python /home/alice/t.py --token abc /scratch/alice/x alice@gpu01")
    clean = redact_diagnosis(document)
    assert clean.provenance.redacted == (
        "1 command-line secret",
        "user names hashed",
        "home paths shortened",
        "host name hashed",
    )
    hashed = user_hash("alice")
    assert clean.provenance.command == f"python ~/t.py --token {REDACTED} /scratch/{hashed}/x {hashed}@gpu01"
    assert clean.verdicts[0].workload is not None
    assert clean.verdicts[0].workload.user == hashed
    assert clean.verdicts[0].workload.job == "slurm:12"
    assert clean.provenance.host == host_hash("gpu01.example.org")
    assert "alice" not in encoded(clean)


def test_a_hashed_host_is_not_hashed_again() -> None:
    once = redact_diagnosis(diagnosis("x", user=None))
    assert redact_diagnosis(once).provenance.host == once.provenance.host
    assert once.provenance.redacted == ("host name hashed",)


def test_keep_keeps() -> None:
    document = diagnosis("--token abc")
    assert redact_diagnosis(document, keep=True) is document


def strings(node: Any) -> str:
    return json.dumps(msgspec.to_builtins(node))


def test_messages_of_a_recording_are_redacted() -> None:
    process = ProcessSample(
        key="GPU-0",
        pid=1,
        name="t.py --token=abc1",
        command="python t.py --password hunter2",
        user="alice",
        missing={"io_read_bytes_s": "cannot read /home/alice/x"},
    )
    frame = Frame(seq=1, t_s=1.0, samples=(Sample(key="GPU-0", t_s=1.0),), processes=(process,))
    hello = Hello(t_s=0.0, advisor_version="0", host=HostInfo(host="gpu01"), note="token=abc1")
    messages: list[Message] = [
        hello,
        frame,
        Gap(t_s=2, kind="silent", reason="token=abc1"),
        End(t_s=3, reason="token=abc1"),
    ]
    text = strings([redact_message(message) for message in messages])
    for gone in ("abc1", "hunter2", "alice", "gpu01"):
        assert gone not in text
    assert "user names hashed" in text
    again = [redact_message(redact_message(message)) for message in messages]
    assert again == [redact_message(message) for message in messages]


@pytest.mark.parametrize(
    ("frame", "left"),
    [
        ("f (/scratch/mallory/secret-project/train.py:7)", "f (train.py:7)"),
        ("f (…llory/secret-project/train.py:7)", "f (train.py:7)"),
        ("f (mallory/train.py:7)", "f (train.py:7)"),
        ("f (/scratch/mallory (copy)/train.py:7)", "f (train.py:7)"),
        ("op::operator() (/scratch/mallory/lib.so)", "op::operator() (lib.so)"),
        ("f (/scratch/mallory/)", "f ()"),
        ("f (train.py:7)", "f (train.py:7)"),
        ("<module> (<frozen importlib._bootstrap>:7)", "<module> (<frozen importlib._bootstrap>:7)"),
        ("f", "f"),
    ],
)
def test_of_a_stack_frame_the_file_is_left(frame: str, left: str) -> None:
    assert without_folders(frame) == without_folders(left) == left


def test_frames_lose_their_folders_in_documents_and_recordings() -> None:
    frame = "f (/scratch/mallory/secret-project/train.py:7)"
    seen = EvidenceItem(metric=FRAME_METRIC, value=frame, unit="", source="36 % of samples")
    plain = diagnosis("x")
    finding = msgspec.structs.replace(
        plain.findings[0], evidence=(seen,), actions=(f"Start at {frame}.", "See /scratch/doc.md.")
    )
    once = redact_diagnosis(msgspec.structs.replace(plain, findings=(finding,)))
    assert "mallory" not in strings(once) and "secret-project" not in strings(once)
    assert once.findings[0].actions == ("Start at f (train.py:7).", "See /scratch/doc.md.")
    assert "folders of stack frames removed" in once.provenance.redacted
    assert redact_diagnosis(once) == once
    look = StackLook(t_s=1.0, key="GPU-0", stacks=stacks_of(lock=0.5))
    group = msgspec.structs.replace(look.stacks.groups[0], frame=frame)
    look = msgspec.structs.replace(look, stacks=msgspec.structs.replace(look.stacks, groups=(group,)))
    kept = redact_message(look)
    assert isinstance(kept, StackLook)
    assert kept.stacks.groups[0].frame == "f (train.py:7)"


def test_a_hostile_frame_does_not_stall() -> None:
    for piece in (" (", "/", " (/", ") (/a", "a/b) "):
        without_folders(piece * 200)


def test_hostile_lengths_do_not_stall() -> None:
    for piece in ("a-", "--token ", '"\\', "://", "/home/", "x=", "'\"", "-", "eyJaaaaaa.", "key:"):
        redact_text(piece * (20_000 // len(piece)))
