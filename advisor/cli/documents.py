"""A file that is a saved diagnosis or a recording, told apart by its content, as a Diagnosis."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

from advisor.cli.diagnostics import CliError
from advisor.cli.inputs import load_config, open_replay, read_document, tell
from advisor.cli.session import Look, collect, diagnosis_of, make_monitor, reproduce
from advisor.document import Diagnosis
from advisor.naming import Place, SeveralError
from advisor.naming import named as find_named

AT_ONCE = float("inf")
_GZIP = b"\x1f\x8b"
_LOOK_BYTES = 64 * 1024


def is_recording(path: str) -> bool:
    """Whether a file looks like a recording: compressed, or its first line is a stream's header.

    What cannot be opened, is no plain file, or is neither counts as a document, whose reader says why.
    """
    if path == "-":
        return False
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            return False
        with Path(path).open("rb") as file:
            start = file.read(_LOOK_BYTES)
    except (OSError, ValueError):
        return False
    return start.startswith(_GZIP) or _is_header(start)


def _is_header(start: bytes) -> bool:
    """A header can be longer than what was read: its tag comes first."""
    return start.lstrip().replace(b" ", b"").startswith(b'{"type":"hello"')


def diagnosis_from(path: str, price: float | None = None, called: str | None = None) -> Diagnosis:
    """The diagnosis in a file, or of the whole recording in it. price: for recordings alone. called: what the
    document calls the recording, where that is not its path here.

    Raises CliError for a file that is neither, and for a recording that holds no samples.
    """
    refuse_trace(path)
    if not is_recording(path):
        return read_document(path)
    config = load_config()
    feed, hello = open_replay(path, AT_ONCE)
    try:
        look = Look(source="replay", price=price, command=reproduce(["replay", called or path, "--once"]))
        monitor = make_monitor(hello, look, config)
        outcome = collect(feed, monitor, hello, None, label="reading")
        tell(feed.warnings)
    finally:
        feed.close()
    if outcome.interrupted:
        raise CliError(f"interrupted while reading {path}", code=130)
    if outcome.frames == 0:
        raise CliError(f"{path} holds no samples, so nothing can be said of it", "record again, for longer")
    return diagnosis_of(monitor, outcome)


def refuse_trace(path: str) -> None:
    """Raise CliError for a profiler's trace, with the command that reads it."""
    from advisor.cli.trace_files import trace_hint

    hint = "" if path == "-" else trace_hint(path)
    if hint:
        raise CliError(f"{path} is no diagnosis and no recording", hint)


def devices_named(word: str, places: Iterable[Place]) -> list[Place]:
    """What a word of --gpu names among rows; none where nothing is called so. Raises CliError for several."""
    try:
        return find_named(word, places)
    except SeveralError as error:
        raise CliError(f"--gpu: {error}") from error


def refuse_price(price: float | None, *paths: str) -> None:
    """Raise CliError for a --price that nothing would be priced by: money asked for must not be dropped."""
    if price is not None and not any(is_recording(path) for path in paths):
        raise CliError("--price is for recordings: a saved diagnosis has its own prices", "leave --price out")


def named(path: str) -> str:
    """The file's name without its folders, as a document that leaves the node calls it."""
    return "stdin" if path == "-" else Path(path).name or path
