"""`advisor trace`: files are read, analysed, diagnosed, and shown in the way that was asked for."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from advisor.cli import diagnostics
from advisor.cli.diagnostics import CliError, ExitCode, Progress, cannot_measure, note
from advisor.cli.failon import judge, parse_fail_on
from advisor.cli.inputs import load_config, read_document
from advisor.cli.reporting import Wish, present, where_to
from advisor.cli.ruleset import chosen
from advisor.cli.session import reproduce
from advisor.cli.trace_asking import of_the_trace, ordered, read_ordered
from advisor.cli.trace_files import mode_of, read_all, trace_files
from advisor.cli.trace_targets import check_targets

if TYPE_CHECKING:
    from advisor.cli.delivery import Delivery
    from advisor.cli.trace_asking import Order
    from advisor.config import Config
    from advisor.document import Diagnosis
    from advisor.gate import FailOn
    from advisor.price_table import Model
    from advisor.traces.analyse import Analysis
    from advisor.traces.diagnosing import PriceOf
    from advisor.traces.timeline import Timeline


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with which traces, as typed."""

    files: tuple[str, ...] = ()
    order: Order | None = None
    device: int | None = None
    ranks: bool = False
    compare: bool = False
    gpu_model: str | None = None
    join: str | None = None
    tui: bool = False
    perfetto: str | None = None
    fail_on: tuple[str, ...] = ()


class _Job(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, understood. command: that makes the document again."""

    asked: Asked
    wish: Wish
    wanted: Delivery
    config: Config
    model: Model | None
    live: Diagnosis | None
    gate: FailOn
    command: Sequence[str]


def trace(asked: Asked, wish: Wish) -> ExitCode:
    """Read, analyse and show. Raises CliError for what cannot be read or written."""
    if not asked.tui:
        return _trace(asked, wish, Progress(shown=False))
    from advisor.cli.screen import unseen_keys

    _check(asked, wish)
    progress = Progress()
    with unseen_keys():
        try:
            return _trace(asked, wish, progress)
        finally:
            progress.clear()


def _trace(asked: Asked, wish: Wish, progress: Progress) -> ExitCode:
    job, files = _understood(asked, wish)
    progress.show(f"reading {files[0].name}, Ctrl-C stops")
    if asked.order is not None:
        timelines, skipped = read_ordered(asked.order, files[0]), list[str]()
    else:
        timelines, skipped = read_all(files, asked.files)
    mode = mode_of([t.meta for t in timelines], compare=asked.compare, ranks=asked.ranks)
    if asked.device is not None:
        timelines = _of_device(timelines, asked.device)
    if mode == "compare":
        return _compared(timelines, job)
    progress.show("analysing, Ctrl-C stops")
    analysis = analysed(numbered(timelines) if mode == "ranks" else timelines, job.model, wish.top)
    diagnosis = _with_notes(_diagnosed(analysis, job), skipped)
    return _shown(analysis, diagnosis if job.live is None else _joined(diagnosis, job.live), job, progress)


def _understood(asked: Asked, wish: Wish) -> tuple[_Job, list[Path]]:
    """What to do with which files. Raises CliError for all that is wrong before anything is read."""
    if not asked.files and asked.order is None:
        raise CliError("no trace was named", "name a file, such as advisor trace run.json.gz, or a folder")
    if asked.files and asked.order is not None:
        raise CliError("--pid makes a trace of its own", "name no file beside it, or leave --pid out")
    wanted = where_to(wish)
    _check(asked, wish)
    config = load_config(**chosen(wish.select, wish.ignore))
    job = _Job(
        asked=asked,
        wish=wish,
        wanted=wanted,
        config=config,
        model=None if asked.gpu_model is None else model_named(asked.gpu_model),
        live=None if asked.join is None else read_document(asked.join),
        gate=parse_fail_on(asked.fail_on or (config.fail_on,)),
        command=sys.argv[1:],
    )
    files = trace_files(asked.files)
    check_targets(files, asked, wish)
    if asked.order is None:
        return job, files
    kept = ordered(asked.order)
    return msgspec.structs.replace(job, command=of_the_trace(job.command, kept)), [kept]


def _shown(analysis: Analysis, diagnosis: Diagnosis, job: _Job, progress: Progress) -> ExitCode:
    """Write what was asked for, or open the screen."""
    if job.asked.perfetto is not None:
        _write_perfetto(analysis, Path(job.asked.perfetto), keep=job.wish.keep or not job.config.redact)
    if job.asked.tui:
        from advisor.cli.screen import open_trace_screen

        progress.clear()
        open_trace_screen(analysis, diagnosis, job.config)
    else:
        present(diagnosis, job.wish, job.wanted, job.config)
    return _judged(diagnosis, job.gate)


def _judged(diagnosis: Diagnosis, gate: FailOn) -> ExitCode:
    """The exit code. Raises CliError (3) for a gate over a file that is cut before any work on a GPU."""
    from advisor.reports.titles import is_cut

    code = judge(diagnosis, gate)
    asked = gate.severity is not None or gate.codes or gate.usd_h is not None
    if asked and code == ExitCode.OK and diagnosis.trace is not None and is_cut(diagnosis.trace):
        raise cannot_measure(
            "--fail-on cannot be judged: nothing of a GPU could be read from a file that is cut",
            "copy the trace again",
        )
    return code


def _check(asked: Asked, wish: Wish) -> None:
    """Fail before a minute of reading rather than after it."""
    if asked.tui and (wish.out is not None or wish.as_json or wish.form is not None):
        raise CliError("--tui shows a screen and writes no report", "leave -o, --json and --format out")
    if asked.tui and not (diagnostics.is_terminal() and sys.stdin is not None and sys.stdin.isatty()):
        raise CliError("--tui needs a terminal", "leave it out for a report, or run it in a terminal")
    if asked.perfetto is None:
        return
    path = Path(asked.perfetto)
    if asked.perfetto == "-" or path.is_dir() or not path.parent.is_dir():
        raise CliError(f"--perfetto cannot write {path}", "name a file in a folder that is there")


def _compared(timelines: Sequence[Timeline], job: _Job) -> ExitCode:
    """Two traces, before and after. Raises CliError for options that mean nothing to both."""
    from advisor.cli.delivery import redacted
    from advisor.cli.trace_comparing import check_comparison, compare_and_show

    asked, wish, config = job.asked, job.wish, job.config
    given = (
        ("--perfetto", asked.perfetto),
        ("--tui", asked.tui),
        ("--join", asked.join),
        ("--images", wish.images or wish.only_images),
        ("--fail-on", asked.fail_on),
        ("--top", wish.top),
    )
    beside = next((option for option, value in given if value), None)
    if beside is not None:
        raise CliError(f"{beside} is for one trace or the ranks of one job", "leave it out to compare two")
    check_comparison(job.wanted)
    if config.fail_on:
        note("fail_on of the configuration is of one look, and is not judged of two traces")
    made = [redacted(_diagnosed(analysed([t], job.model), job), job.wanted, config) for t in timelines]
    names = [one.trace.files[0].name if one.trace is not None else "" for one in made]
    if names[0] == names[1]:
        names = [f"{names[0]} (before)", f"{names[1]} (after)"]
    return compare_and_show(made[0], made[1], (names[0], names[1]), job.wanted)


def numbered(timelines: Sequence[Timeline]) -> list[Timeline]:
    """Ranks of which no file says its number are counted in the order in which they were named."""
    if any(timeline.meta.rank is not None for timeline in timelines) or len(timelines) < 2:
        return list(timelines)
    note("no file says its rank: they are counted in the order of their names here")
    count = len(timelines)
    metas = [replace(one.meta, rank=i, world_size=count) for i, one in enumerate(timelines)]
    return [replace(one, meta=meta) for one, meta in zip(timelines, metas, strict=True)]


def model_named(text: str) -> Model:
    """The model that a person means, with its data sheet. Raises CliError for none and for several."""
    from advisor.price_table import find_models

    found = [model for model in find_models(text) if model.spec is not None]
    if len(found) == 1:
        return found[0]
    fix = f"one of {', '.join(model.name for model in found[:8])}" if found else "advisor prices lists models"
    said = "names several models" if found else "names no model whose data sheet is known"
    raise CliError(f"--gpu-model {text!r} {said}", fix)


def _of_device(timelines: Sequence[Timeline], device: int) -> list[Timeline]:
    """The timelines with this device alone. Raises CliError where nothing ran on it."""
    from advisor.traces.choosing import only_device

    known = sorted({number for timeline in timelines for number in timeline.device_numbers()})
    if device not in known:
        here = ", ".join(map(str, known)) or "none"
        raise CliError(f"--device {device}: nothing ran on it", f"devices in these traces: {here}")
    return [only_device(timeline, device) for timeline in timelines]


def analysed(timelines: Sequence[Timeline], model: Model | None, top: int | None = None) -> Analysis:
    """What the traces show. model: the GPU's, where a person named it. top: kernels to list, where many."""
    from advisor.traces.analyse import analyse
    from advisor.traces.diagnosing import ceilings_of
    from advisor.traces.kernels import TOP
    from probes.specs import assumed_ceilings

    most = max(TOP, top or 0)

    if model is not None and model.spec is not None:
        ceilings = assumed_ceilings(model.spec)
        return analyse(timelines, lambda _, __: ceilings, most)
    return analyse(timelines, ceilings_of, most)


def _diagnosed(analysis: Analysis, job: _Job) -> Diagnosis:
    """The document, with the findings that were asked for."""
    from advisor.selection import parse_selection
    from advisor.traces.diagnosing import Made, diagnose_traces

    name, config = None if job.model is None else job.model.name, job.config
    how = Made(
        created_s=time.time(),
        command=reproduce(job.command),
        gpu_model=name,
        asked=job.asked.order is not None,
        config=config,
    )
    diagnosis = diagnose_traces(analysis, _prices(job.wish.price, config, job.model), how)
    return parse_selection(config.select, config.ignore).applied(diagnosis)


def _with_notes(diagnosis: Diagnosis, notes: Sequence[str]) -> Diagnosis:
    """The document with what its maker has to say of what was read."""
    if not notes or diagnosis.trace is None:
        return diagnosis
    report = msgspec.structs.replace(diagnosis.trace, notes=(*diagnosis.trace.notes, *notes))
    return msgspec.structs.replace(diagnosis, trace=report)


def _prices(flag: float | None, config: Config, model: Model | None) -> PriceOf:
    """What a traced GPU costs: nothing of this node counts, as the trace may be from another."""
    from advisor.pricer import Pricer
    from advisor.prices import candidates, in_force

    if model is None:
        return Pricer(flag, os.environ, config).of
    price = in_force(candidates(model, flag=flag, env=os.environ, config=config))
    return lambda _: price


def _joined(traced: Diagnosis, live: Diagnosis) -> Diagnosis:
    """The live look with what the trace adds. Raises CliError where they are not of one job."""
    from advisor.traces.joining import JoinError, join

    try:
        return join(live, traced)
    except JoinError as error:
        raise CliError(
            f"--join: {error}", "give the diagnosis of a look at this job as it was traced"
        ) from error


def _write_perfetto(analysis: Analysis, out: Path, *, keep: bool) -> None:
    from advisor.reports.errors import WriteError
    from advisor.reports.escape import terminal
    from advisor.reports.redact import host_hash
    from advisor.reports.redact_text import redact_text
    from advisor.reports.trace_redact import TraceNames
    from advisor.traces.perfetto import write_perfetto

    names = TraceNames(analysis.report, host_hash)

    def clean(text: str) -> str:
        return terminal(text if keep else redact_text(names.clean(text))[0])

    try:
        write_perfetto(analysis.timelines, analysis.attributions, out, clean=clean)
    except WriteError as error:
        raise CliError(str(error), error.fix) from error
    note(f"wrote {out}; open it in https://ui.perfetto.dev")
