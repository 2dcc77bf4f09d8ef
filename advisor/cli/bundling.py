"""The parts of a bundle: rendered, scrubbed, and handed to the archive."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import msgspec

from advisor import __version__
from advisor.bundle import FOLDER, Item, Manifest, MemberRecord, member_records, write_bundle
from advisor.cli import output
from advisor.cli.bundle_parts import RECORDING, Contents, Plan, doctor, recording, reports
from advisor.cli.bundle_removed import removed_from, told
from advisor.cli.diagnostics import CliError, ExitCode, cannot_measure, note, warn
from advisor.cli.documents import diagnosis_from, is_recording, refuse_price
from advisor.cli.inputs import load_config
from advisor.document import Diagnosis
from advisor.reports.scrub import Scrubber, of_this_machine

# What trackers take: GitHub's attachments of 25 MB, Jira's of 10 MB unless an administrator says otherwise.
GITHUB_BYTES, JIRA_BYTES = 25_000_000, 10_000_000
_HARD_TO_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def bundle(plan: Plan, *, as_json: bool) -> ExitCode:
    """Write the bundle and say what is in it, after a look at this node where one is asked for.

    Raises CliError; with exit code 3 where nothing can be measured.
    """
    _check(plan)
    if plan.live_s is None:
        return _bundle(plan, as_json=as_json)
    from advisor.cli.inputs import load_config_for
    from advisor.cli.recording import record_into

    config = load_config_for(plan.live_s, plan.interval_s)
    with tempfile.TemporaryDirectory(prefix="advisor-look-") as scratch:
        seen = str(Path(scratch) / RECORDING)
        keep = plan.keep or not config.redact
        frames, _ = record_into(seen, config, duration_s=plan.live_s, force=True, keep=keep)
        if frames == 0:
            raise cannot_measure(
                "nothing could be measured, so there is nothing to bundle", "run `advisor doctor`"
            )
        return _bundle(msgspec.structs.replace(plan, file=seen), as_json=as_json)


def _bundle(plan: Plan, *, as_json: bool) -> ExitCode:
    from advisor.reports.errors import WriteError

    keep = plan.keep or not load_config().redact
    raw = diagnosis_from(plan.file, plan.price, RECORDING)
    scrub = of_this_machine([raw.provenance.host], _users(raw), off=keep)
    found = _redacted(raw, scrub, keep=keep)
    target = _target(plan, found)
    contents = Contents(found.provenance.host)
    reports(found, contents)
    doctor_host = doctor(scrub, contents) if plan.with_doctor else None
    try:
        with tempfile.TemporaryDirectory(prefix="advisor-bundle-") as scratch:
            recording(plan, scrub, keep, Path(scratch), contents)
            manifest = _manifest(found, contents, doctor_host, is_redacted=not keep)
            contents.add("redactions.txt", "what was taken out", "\n".join(_taken_out(manifest)) + "\n")
            contents.add("README.txt", "what each file is", _readme(found, manifest, contents.items))
            size = write_bundle(target, contents.items, manifest)
            listed = msgspec.structs.replace(manifest, members=member_records(contents.items))
    except WriteError as error:
        raise CliError(str(error), error.fix) from error
    except OSError as error:
        raise CliError(f"cannot make the bundle: {error.strerror or error}", "free some space") from error
    _say(target, size, listed, as_json=as_json)
    return ExitCode.OK


def _check(plan: Plan) -> None:
    """Fail before minutes of reading rather than after."""
    if (plan.live_s is None) is not bool(plan.file):
        raise CliError("nothing to bundle, or two things", "give DIAGNOSIS|RECORDING, or --live and no file")
    if plan.live_s is None:
        refuse_price(plan.price, plan.file)
    if plan.recording is not None and not plan.with_recording:
        raise CliError("--recording and --no-recording contradict each other", "give one of them")
    if plan.recording is not None and is_recording(plan.file):
        raise CliError("--recording is for a saved diagnosis: this is a recording", "leave --recording out")
    if plan.out == "-":
        raise CliError("a bundle is not for stdout", "give -o FILE.tar.gz")
    path = None if plan.out is None else Path(plan.out)
    if path is not None and path.is_dir():
        raise CliError(f"{path} is a folder", "name a file in it")
    if path is not None and not path.parent.is_dir():
        raise CliError(f"{path.parent} is not a folder", "create it first")
    inputs = [Path(p) for p in (plan.file, plan.recording) if p is not None and p != "-"]
    if path is not None and path.exists() and any(p.exists() and path.samefile(p) for p in inputs):
        raise CliError(f"-o {path} is what is to be bundled", "choose another name")


def _users(d: Diagnosis) -> list[str]:
    return [v.workload.user for v in d.verdicts if v.workload is not None and v.workload.user]


def _redacted(raw: Diagnosis, scrub: Scrubber, *, keep: bool) -> Diagnosis:
    """As every report is redacted, and without the names that only this machine knows."""
    from advisor.reports.redact import redact_diagnosis

    if keep:
        return raw
    found: Diagnosis = scrub.record(redact_diagnosis(raw))
    return found


def _target(plan: Plan, d: Diagnosis) -> Path:
    if plan.out is not None:
        return Path(plan.out)
    words = (d.provenance.host[:40] or d.provenance.source, d.provenance.created[:19].replace(":", ""))
    named = _HARD_TO_NAME.sub("-", "-".join(words)).strip("-.")
    return Path(f"advisor-bundle-{named or 'unnamed'}.tar.gz")


# --- what it says of itself -----------------------------------------------------------------------


def _manifest(d: Diagnosis, contents: Contents, doctor_host: str | None, *, is_redacted: bool) -> Manifest:
    p = d.provenance
    notes = list(contents.notes)
    if doctor_host is not None and is_redacted and doctor_host != p.host:
        notes.append("the doctor looked at the machine where the bundle was made, which is another one")
    if p.synthetic:
        notes.append("the data is synthetic: no GPU produced these figures")
    return Manifest(
        advisor_version=__version__,
        diagnosis_schema_version=d.schema_version,
        created=p.created,
        host=p.host,
        source=p.source,
        synthetic=p.synthetic,
        is_redacted=is_redacted,
        redacted=p.redacted if is_redacted else (),
        removed=removed_from(contents.items) if is_redacted else (),
        doctor_host=doctor_host if is_redacted else None,
        left_out=contents.left_out,
        notes=tuple(notes),
    )


def _readme(d: Diagnosis, manifest: Manifest, items: list[Item]) -> str:
    from advisor.reports.escape import terminal
    from advisor.reports.titles import render_summary_line

    width = max(len(item.name) for item in items)
    lines = [
        "A bundle of advisor: what limits a GPU workload, how that is known, what it wastes, what to do.",
        "",
        render_summary_line(d),
        "",
        f"Seen on {terminal(manifest.host) or 'an unnamed node'}, {terminal(manifest.created)}"
        f" ({manifest.source}).",
        f"Put together by advisor {manifest.advisor_version}.",
        "",
        *(f"{item.name:<{width}}  {item.what}" for item in sorted(items, key=lambda item: item.name)),
        f"{'MANIFEST.json':<{width}}  sizes, checksums and versions",
        "",
    ]
    lines += ["Left out:", *(f"  {name}: {why}" for name, why in manifest.left_out.items()), ""] * bool(
        manifest.left_out
    )
    lines += ["Note:", *(f"  {text}" for text in manifest.notes), ""] * bool(manifest.notes)
    return "\n".join([*lines, *_taken_out(manifest)]) + "\n"


def _taken_out(manifest: Manifest) -> list[str]:
    if not manifest.is_redacted:
        return ["NOTHING WAS REDACTED (--no-redact): command lines may hold secrets, and users are named."]
    return [
        "Taken out of every file, here or when it was recorded, and how often each stands replaced:",
        *(f"  {line}" for line in told(manifest.removed)),
        "Looked for: secrets by their names and shapes, user and host names, home folders; of the documents'",
        "node and of the machine where the bundle was made.",
        "Pseudonyms such as node-1a2b3c stand for one name each, in every bundle.",
    ]


def _say(target: Path, size: int, manifest: Manifest, *, as_json: bool) -> None:
    if as_json:
        output.write_record(manifest)
    else:
        output.write("".join(_line(member) for member in manifest.members))
    note(f"wrote {target}, {_megabytes(size)}, folder {FOLDER}/")
    for name, why in manifest.left_out.items():
        note(f"left out {name}: {why}")
    if not manifest.is_redacted:
        warn("nothing was redacted: look through it before it leaves this machine")
    if size > JIRA_BYTES:
        over = "GitHub takes attachments up to 25 MB and " if size > GITHUB_BYTES else ""
        warn(f"{_megabytes(size)}: {over}Jira takes 10 MB unless set otherwise; --no-recording is smaller")


def _line(member: MemberRecord) -> str:
    return f"{member.size_bytes:>12,}  {member.name:<20} {member.what}\n"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"
