"""What goes into a bundle: the document in every format, what the doctor says, the recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from advisor.bundle import Item
from advisor.cli.diagnostics import CliError
from advisor.cli.documents import is_recording
from advisor.cli.inputs import tell
from advisor.document import Diagnosis
from advisor.reports.scrub import Scrubber

RECORDING = "recording.jsonl.gz"
# A recording of a node and day is about 100 MB; more is no attachment.
MAX_RECORDING_BYTES = 512 << 20
# Messages between two looks at how large it has become.
CHECK_EVERY = 256


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to bundle. file: "" with live_s. recording: one beside a diagnosis. keep: nothing is redacted."""

    file: str
    live_s: float | None = None
    interval_s: float | None = None
    out: str | None = None
    recording: str | None = None
    with_recording: bool = True
    with_doctor: bool = True
    price: float | None = None
    keep: bool = False


class Contents:
    """What has been put together so far. host: the node of the diagnosis."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.items: list[Item] = []
        self.left_out: dict[str, str] = {}
        self.notes: list[str] = []

    def add(self, name: str, what: str, text: str | bytes) -> None:
        data = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
        self.items.append(Item(name=name, what=what, data=data))


def reports(d: Diagnosis, contents: Contents) -> None:
    """The document in every format; one that cannot be made is left out with its reason."""
    for name, what, render in _RENDERERS:
        try:
            contents.add(name, what, render(d))
        except ImportError as error:
            contents.left_out[name] = f"a package is missing: {error.name}"
        except (ValueError, ArithmeticError, RuntimeError) as error:
            contents.left_out[name] = f"could not be made: {error}"


def _html(d: Diagnosis) -> str:
    from advisor.reports.html import render_html

    return render_html(d)


def _markdown(d: Diagnosis) -> str:
    from advisor.reports.markdown import render_markdown

    return render_markdown(d)


def _text(d: Diagnosis) -> str:
    from advisor.reports.text import render_text

    return render_text(d, width=100, color=False)


def _json(d: Diagnosis) -> bytes:
    from advisor.reports.json import encode

    return encode(d)


def _csv(d: Diagnosis) -> str:
    from advisor.reports.csv import render_csv

    return render_csv(d)


_RENDERERS: tuple[tuple[str, str, Callable[[Diagnosis], str | bytes]], ...] = (
    ("report.html", "the report as one page: open it in a browser", _html),
    ("report.md", "the report as Markdown: paste it into the ticket", _markdown),
    ("report.txt", "the report as plain text", _text),
    ("diagnosis.json", "everything, for programs: `advisor report diagnosis.json`", _json),
    ("diagnosis.csv", "the figures of each GPU, for a spreadsheet", _csv),
)


def doctor(scrub: Scrubber, contents: Contents) -> str:
    """What works on this machine, and the pseudonym of this machine."""
    import platform

    from advisor.cli.checks.every import as_text, every_check
    from advisor.reports.jsontext import as_json
    from advisor.reports.redact import host_hash

    checks = [scrub.record(check) for check in every_check()]
    document = {"schema_version": 1, "checks": checks}
    contents.add("doctor.txt", "`advisor doctor` where the bundle was made", as_text(checks, False))
    contents.add("doctor.json", "the same for programs", as_json(document).encode())
    return host_hash(platform.node())


def recording(plan: Plan, scrub: Scrubber, keep: bool, scratch: Path, contents: Contents) -> None:
    """The recording, written anew: what is put in has gone through redaction here, whatever it was before."""
    name = RECORDING
    source = plan.recording or (plan.file if is_recording(plan.file) else None)
    if source is None:
        contents.left_out[name] = "the bundle was made of a saved diagnosis; --recording FILE puts one in"
        return
    if not plan.with_recording:
        contents.left_out[name] = "--no-recording"
        return
    damaged, host = _rewrite(source, scratch / name, scrub, keep=keep)
    if plan.recording is not None and host != contents.host:
        contents.notes.append(f"the recording is of {host}, which is not the node of the diagnosis")
    contents.items.append(
        Item(
            name=name, what="the samples themselves: `advisor replay recording.jsonl.gz`", path=scratch / name
        )
    )
    if damaged:
        contents.notes.append(f"{damaged} damaged lines of the recording are left out")


def _rewrite(source: str, target: Path, scrub: Scrubber, *, keep: bool) -> tuple[int, str]:
    """Write the recording redacted anew; gives the number of damaged lines, and its node. Raises CliError."""
    from advisor.reports.redact import redact_hello
    from advisor.telemetry.recording import Recorder, RecordingError, read_recording

    try:
        with read_recording(source) as reader, Recorder(target, redact=not keep) as recorder:
            recorder.write(scrub.message(reader.hello))
            for message in reader:
                recorder.write(scrub.message(message))
                if recorder.messages % CHECK_EVERY == 0 and target.stat().st_size > MAX_RECORDING_BYTES:
                    raise _too_large(source)
            tell(reader.warnings)
            hello = reader.hello if keep else redact_hello(reader.hello)
            return reader.damaged, hello.host.host
    except RecordingError as error:
        raise CliError(str(error), error.fix) from error


def _too_large(source: str) -> CliError:
    limit = MAX_RECORDING_BYTES >> 20
    return CliError(
        f"{source} is too large for a bundle: over {limit} MiB",
        "bundle it with --no-recording, or record a shorter one",
    )
