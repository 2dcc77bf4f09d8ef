"""One look at inference engines: beside the node's GPUs where they can be watched, alone elsewhere."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

from advisor.cli import output
from advisor.cli.delivery import Delivery, check_writable, hand_over
from advisor.cli.diagnostics import CliError, ExitCode, cannot_measure, note, warn
from advisor.cli.durations import format_duration
from advisor.cli.inputs import load_config
from advisor.cli.serving_session import ServingSession, Terms
from advisor.cli.session import Look, Outcome
from advisor.serving.document import ServingReport
from advisor.serving.fetch import Target, bearer, parse_url
from rules.slo import parse_slo

if TYPE_CHECKING:
    from advisor.reports.serving_text import Series

TOKEN = "ADVISOR_SERVING_TOKEN"  # noqa: S105 - the name of a variable, no secret
_HOW = "name one: advisor serving http://HOST:PORT (vLLM 8000, SGLang 30000, llama.cpp 8080, Triton 8002)"
_SEEN = "see that it is up and publishes its metrics (docs/serving.md), or name its URL"
_CHECK = "check the address, and that the engine's metrics are on (docs/serving.md)"
_CLEAR = "\x1b[H\x1b[2J"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    urls: tuple[str, ...] = ()
    duration_s: float = 30.0
    interval_s: float = 5.0
    slo: str | None = None
    price: float | None = None
    gpus: int | None = None
    gpu: str | None = None
    watch: bool = False
    as_json: bool = False
    out: str | None = None
    keep: bool = False


def serve(asked: Asked) -> int:
    """Look, print, and give the exit code."""
    wanted = Delivery(form="json" if asked.as_json else None, out=asked.out, keep=asked.keep)
    _check(asked, wanted)
    config = load_config(slo=_objective(asked.slo))
    wanted = msgspec.structs.replace(wanted, keep=asked.keep or not config.redact)
    look = Look(gpu=asked.gpu, price=asked.price)
    terms = Terms(
        interval_s=asked.interval_s, window_s=max(asked.duration_s, asked.interval_s), gpus=asked.gpus
    )
    with closing(ServingSession(look, terms, config, _targets(asked))) as session:
        session.start(whole=not asked.watch)
        return _watch(session, asked, wanted) if asked.watch else _once(session, asked, wanted)


def _once(session: ServingSession, asked: Asked, wanted: Delivery) -> ExitCode:
    outcome = session.look(asked.duration_s)
    report = session.report()
    if not report.engines:
        raise _nothing(report, outcome, named=bool(asked.urls))
    _print(report, wanted)
    if outcome.interrupted:
        note("interrupted: this is what was seen so far")
        return ExitCode.INTERRUPTED
    if outcome.ended is not None and outcome.ended.error:
        warn(f"the GPUs could not be watched to the end: {outcome.ended.reason}")
    return ExitCode.OK


def _watch(session: ServingSession, asked: Asked, wanted: Delivery) -> ExitCode:
    """Print at every interval until Ctrl-C, or until the GPUs can be watched no longer (3)."""

    from advisor.reports.serving_text import Series

    series = Series(screen=output.is_terminal())
    waiting = Series()

    def show() -> None:
        report = session.report()
        if not report.engines and waiting.is_new(said := _waiting(report)):
            note(said)
        _print_again(report, wanted, series)

    outcome = session.watch(asked.interval_s, show, output.is_gone)
    if outcome.ended is not None and outcome.ended.error:
        raise cannot_measure(f"the GPUs can be watched no longer: {outcome.ended.reason}", outcome.ended.fix)
    return ExitCode.INTERRUPTED if outcome.interrupted else ExitCode.OK


def _check(asked: Asked, wanted: Delivery) -> None:
    check_writable(wanted, ("text", "json"))
    if not 0.2 <= asked.interval_s <= 3600.0:
        raise CliError(f"--interval {asked.interval_s:g}s is not from 0.2s to 1h", "give --interval 5s")
    if not asked.watch and asked.duration_s < asked.interval_s:
        raise CliError(
            f"--duration {format_duration(asked.duration_s)} is shorter than the interval of "
            f"{format_duration(asked.interval_s)}: a rate takes two looks",
            "give a longer --duration or a shorter --interval",
        )
    if asked.gpus is not None and asked.price is None:
        raise CliError("--gpus says how many GPUs --price is for", "give --price as well")
    if asked.watch and asked.out not in (None, "-"):
        raise CliError("--watch prints again and again, so it takes no file", "leave out -o or --watch")


def _objective(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return parse_slo(text).text
    except ValueError as error:
        raise CliError(f"--slo: {error}") from error


def _targets(asked: Asked) -> list[Target] | None:
    """What was named; None looks for engines on this node."""
    token = _token() if asked.urls else None
    return [_target(url, token) for url in asked.urls] or None


def _token() -> str | None:
    try:
        return bearer(os.environ.get(TOKEN, ""))
    except ValueError as error:
        raise CliError(
            f"{TOKEN} is no token: {error}", "check the variable, or the file it came from"
        ) from error


def _target(url: str, token: str | None) -> Target:
    try:
        return parse_url(url, token)
    except ValueError as error:
        raise CliError(f"the URL cannot be asked: {error}", "write it as http://localhost:8000") from error


def _nothing(report: ServingReport, outcome: Outcome, *, named: bool) -> CliError:
    """What to say where no engine answered."""
    if outcome.interrupted:
        return CliError("interrupted before any engine answered", code=ExitCode.INTERRUPTED)
    found = named or report.unread or report.notes
    none = (
        "no engine could be read" if found else "no inference engine was found on this node's loopback ports"
    )
    said = [*(f"{one.endpoint}: {one.reason}" for one in report.unread), *report.notes]
    fix = _CHECK if named else _SEEN if found else _HOW
    return cannot_measure("\n".join([none, *said]), fix)


def _print(report: ServingReport, wanted: Delivery) -> None:
    shown = _redacted(report, wanted)
    hand_over(wanted, lambda width, color, unicode: _drawn(shown, wanted, width, color, unicode))


def _waiting(report: ServingReport) -> str:
    """That nothing is read yet, and why."""
    why = "; ".join(f"{one.endpoint}: {one.reason}" for one in report.unread) or "no engine was found"
    return f"waiting for an engine ({why}); Ctrl-C ends it"


def _print_again(report: ServingReport, wanted: Delivery, series: Series) -> None:
    """One line of JSON; or a screen in the place of the last one, elsewhere a block below it."""
    shown = _redacted(report, wanted)
    if wanted.shape == "json":
        output.write_record(shown, indent=None)
        return
    screen = output.is_terminal()
    if not report.engines and not screen:
        return
    clear = _CLEAR if screen else ""

    def draw(width: int, color: bool, unicode: bool) -> str:
        return clear + _drawn(shown, wanted, width, color, unicode, series)

    hand_over(wanted, draw)


def _redacted(report: ServingReport, wanted: Delivery) -> ServingReport:
    from advisor.reports.serving_redact import redact_serving

    leaves = wanted.shape == "json" or wanted.path is not None
    return report if wanted.keep else redact_serving(report, leaves=leaves)


def _drawn(
    report: ServingReport,
    wanted: Delivery,
    width: int,
    color: bool,
    unicode: bool,
    series: Series | None = None,
) -> str:
    if wanted.shape == "json":
        from advisor.reports.jsontext import as_json

        return as_json(report, unicode=unicode)
    from advisor.reports.serving_text import render_serving

    return render_serving(report, width=width, color=color, unicode=unicode, series=series)
