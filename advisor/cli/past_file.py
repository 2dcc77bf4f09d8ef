"""The file of the history: one diagnosis out of it, one into it, what is too much out, and where it is."""

from __future__ import annotations

import time

import msgspec

from advisor.cli import output
from advisor.cli.diagnostics import CliError, ExitCode, note
from advisor.cli.inputs import load_config, read_document, tell
from advisor.document import Diagnosis
from advisor.keeping.errors import HistoryError
from advisor.keeping.history import DAY_S, HistoryFile, Limits
from advisor.keeping.recorder import history_of
from advisor.keeping.records import Pruned
from advisor.keeping.runs import AHEAD_S

_NOTHING = "nothing is kept"


def document(number: int) -> Diagnosis:
    """The diagnosis of that number. Raises CliError (2) when none is kept."""
    history = HistoryFile()
    try:
        found = history.document(number)
        count, first, last = history.numbers()
    except HistoryError as error:
        raise CliError(str(error), error.fix) from error
    if found is None:
        there = f"there are {count}, numbered {first} to {last}" if count else _NOTHING
        raise CliError(f"no diagnosis {number} is kept: {there}", "advisor history lists them")
    return found


def add(path: str) -> ExitCode:
    """Keep a saved diagnosis. Raises CliError (2) for a file that is none, or that cannot be kept."""
    from advisor.reports.redact import redact_diagnosis

    config = load_config()
    diagnosis = read_document(path)
    path = "the diagnosis on stdin" if path == "-" else path
    if not diagnosis.verdicts:
        raise CliError(f"{path} holds no verdict, so there is nothing to keep")
    if diagnosis.provenance.source == "trace":
        raise CliError(
            f"{path} is of a trace, and a node's history is of what was seen live there",
            "keep the trace; advisor trace BEFORE AFTER compares two",
        )
    age_days = (time.time() - diagnosis.provenance.t_end_s) / DAY_S
    if age_days < -AHEAD_S / DAY_S:
        raise CliError(
            f"{path} ends {-age_days:,.0f} days ahead of this node's clock",
            "check `date`, here and where it was made",
        )
    if age_days > config.history_days:
        raise CliError(
            f"{path} is of {age_days:.0f} days ago, and history is kept for {config.history_days:g} days",
            "raise history_days in the configuration, or set ADVISOR_HISTORY_DAYS",
        )
    history = history_of(config)
    try:
        number = history.add(redact_diagnosis(diagnosis, keep=not config.redact))
    except HistoryError as error:
        raise CliError(str(error), error.fix) from error
    tell(history.warnings)
    note(f"{path} is kept already" if number is None else f"{path} is kept as diagnosis {number}")
    return ExitCode.OK


def prune(days: float | None, mib: float | None, *, everything: bool, as_json: bool) -> ExitCode:
    """Remove what is over the limits given, else over the configuration's; or everything."""
    config = load_config()
    if everything and (days is not None or mib is not None):
        raise CliError("--all leaves nothing that --days or --mib could keep", "give one of them")
    limits = Limits(days, mib)
    if days is None and mib is None:
        limits = Limits(config.history_days, config.history_mib)
    history = HistoryFile()
    try:
        done = history.prune(limits, everything=everything)
    except HistoryError as error:
        raise CliError(str(error), error.fix) from error
    tell(history.warnings)
    if as_json:
        output.write_record({"path": str(history.path), **msgspec.to_builtins(done)})
    else:
        output.write(_pruned_said(done))
    return ExitCode.OK


def path(*, as_json: bool) -> ExitCode:
    """Print where the history is, or would be."""
    found = HistoryFile().path
    if as_json:
        output.write_record({"path": str(found), "exists": found.exists()})
    else:
        output.write(f"{found}\n")
    return ExitCode.OK


def _pruned_said(done: Pruned) -> str:
    freed = max(0, done.bytes_before - done.bytes_after)
    runs = "1 probe run" if done.probe_runs == 1 else f"{done.probe_runs} probe runs"
    gone = "1 diagnosis" if done.diagnoses == 1 else f"{done.diagnoses} diagnoses"
    return (
        f"removed {gone} and {runs}, {freed / 1024:.0f} KiB given back; "
        f"{done.kept_diagnoses} {'diagnosis is' if done.kept_diagnoses == 1 else 'diagnoses are'} kept\n"
    )
