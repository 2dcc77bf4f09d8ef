"""Streams for tests of recording and replay."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hypothesis import strategies as st

from advisor.telemetry.recording import Recorder
from advisor.telemetry.records import (
    DeviceInfo,
    End,
    Frame,
    Gap,
    Gpm,
    Hello,
    HostInfo,
    HostSample,
    Message,
    ProcessSample,
    Sample,
)

HELLO = Hello(
    t_s=999.0,
    advisor_version="0.0",
    host=HostInfo(host="node-000000"),
    devices=(DeviceInfo(key="GPU-0", index=0, name="Simulated GPU", uuid="GPU-0"),),
    synthetic=True,
)


def frame(seq: int, t_s: float | None = None, name: str = "train.py", user: str | None = None) -> Frame:
    """A frame at second `seq` with one device, one process and the host."""
    now = 1000.0 + seq if t_s is None else t_s
    return Frame(
        seq=seq,
        t_s=now,
        samples=(
            Sample(key="GPU-0", t_s=now, power_w=100.0, gpm=(Gpm(t_s=now, duration_s=0.2, gr_active=0.5),)),
        ),
        processes=(ProcessSample(key="GPU-0", pid=1, name=name, user=user),) if seq % 5 == 0 else None,
        host=HostSample(t_s=now, load_1m=1.0) if seq % 5 == 0 else None,
    )


def record(path: Path, messages: Iterable[Message], hello: Hello = HELLO) -> Path:
    with Recorder(path) as recorder:
        recorder.write(hello)
        for message in messages:
            recorder.write(message)
    return path


times = st.floats(0, 1e9)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
frames = st.builds(
    Frame,
    seq=st.integers(0, 1 << 40),
    t_s=times,
    samples=st.lists(st.builds(Sample, key=words, t_s=times, power_w=st.none() | times), max_size=3).map(
        tuple
    ),
    processes=st.none()
    | st.lists(st.builds(ProcessSample, key=words, pid=st.integers(0, 1 << 31), name=words), max_size=2).map(
        tuple
    ),
)
messages = st.one_of(
    frames,
    st.builds(Gap, t_s=times, kind=st.sampled_from(["silent", "restart", "paused"]), reason=words),
    st.builds(End, t_s=times, reason=words),
)
