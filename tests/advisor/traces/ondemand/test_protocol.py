"""Messages of the profiler's daemon, against bytes as PyTorch 2.13 sent them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.traces.ondemand.protocol import (
    Announcement,
    Ask,
    MessageError,
    Request,
    address,
    count,
    parse,
    reply,
)

# What a process with id 11620 sent, whose parents were 11618, 11571 and so on.
SEEN = bytes.fromhex(
    "2800000000000000" + b"req".ljust(32, b"\0").hex() + "0300000006000000" + "0000000000000000"
    "642d0000622d0000332d0000322d0000b3160000b2160000"
)


def test_a_request_as_pytorch_sends_it() -> None:
    assert parse(SEEN) == Request(3, 0, (11620, 11618, 11571, 11570, 5811, 5810))


def test_an_announcement() -> None:
    body = (0).to_bytes(4, "little") + (77).to_bytes(4, "little") + (5).to_bytes(8, "little")
    assert parse(reply("ctxt", body)) == Announcement(77, 0, 5)


@pytest.mark.parametrize("length", [0, 7, 39, 41, len(SEEN) - 1])
def test_a_message_cut_short_is_refused(length: int) -> None:
    with pytest.raises(MessageError):
        parse(SEEN[:length])


def test_more_processes_than_the_body_holds_are_refused() -> None:
    broken = SEEN[:44] + (7).to_bytes(4, "little") + SEEN[48:]
    with pytest.raises(MessageError, match="names 7 processes and holds 6"):
        parse(broken)


@given(st.binary(max_size=120))
def test_no_datagram_raises_anything_else(datagram: bytes) -> None:
    try:
        parse(datagram)
    except MessageError:
        return


@given(st.lists(st.integers(0, 2**31 - 1), max_size=20), st.integers(0, 3), st.integers(0, 2**40))
def test_requests_are_read_as_they_were_written(pids: list[int], wants: int, job: int) -> None:
    body = wants.to_bytes(4, "little") + len(pids).to_bytes(4, "little") + job.to_bytes(8, "little")
    body += b"".join(pid.to_bytes(4, "little") for pid in pids)
    assert parse(reply("req", body)) == Request(wants, job, tuple(pids))


def test_an_order_by_steps_and_by_time() -> None:
    steps = Ask(log_file="/tmp/x/trace.json", steps=5).text().splitlines()
    assert "ACTIVITIES_ITERATIONS=5" in steps
    assert not [line for line in steps if "DURATION" in line]
    timed = Ask(log_file="/tmp/x/trace.json", seconds=0.25, stacks=True).text().splitlines()
    assert "ACTIVITIES_DURATION_MSECS=250" in timed
    assert "PROFILE_WITH_STACK=true" in timed


def test_the_process_puts_its_id_before_the_suffix() -> None:
    assert Ask(log_file="/tmp/x/trace.json").written_by(7) == "/tmp/x/trace_7.json"


def test_where_the_profiler_sends_to() -> None:
    assert address(None) == b"\0dynolog\0"
    assert address("/run/sockets") == b"/run/sockets/dynolog"
    assert count(2) == b"\2\0\0\0"
