"""The comparison of two files: read, redacted, compared, delivered and judged."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from advisor.cli.delivery import Delivery, hand_over
from advisor.cli.diagnostics import CliError, ExitCode, cannot_measure, note
from advisor.cli.documents import diagnosis_from, named, refuse_price
from advisor.cli.inputs import load_config
from advisor.comparing.compare import Wish, compare
from advisor.comparing.gate import CompareGateError, Judged, Limit, judge, parse_limits
from advisor.comparing.match import MatchError
from advisor.comparing.throughput import Work
from advisor.document import Diagnosis
from rules.compare.records import Comparison

MAX_RATE = 1e12


def wish_of(gpu: str | None, pairs: Sequence[str], *, cards: bool, force: bool, work: Work | None) -> Wish:
    """What the options ask for. Raises CliError when --gpu and --match contradict each other."""
    words = tuple(word for text in pairs for word in text.split(",") if word.strip())
    if gpu is not None and words:
        raise CliError("--gpu and --match contradict each other", "give one of them")
    if pairs and not words:
        raise CliError("--match names no pair", "write --match A_GPU=B_GPU, such as 0=2")
    return Wish(gpu=gpu, pairs=words, cards=cards, force=force, work=work)


def parse_work(text: str | None) -> Work | None:
    """ "A=12.5,B=14" as rates; None where nothing was given. Raises CliError."""
    if text is None:
        return None
    found = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        found[name.strip().upper()] = _rate(value)
    if found.keys() != {"A", "B"} or None in found.values():
        raise CliError(f"--work {text!r}: not two rates", "write --work A=12.5,B=14.1, both above 0")
    return Work(found["A"] or 0.0, found["B"] or 0.0)


def _rate(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 < value <= MAX_RATE else None


def compare_files(
    a: str, b: str, wish: Wish, fail_on: Sequence[str], wanted: Delivery, price: float | None
) -> ExitCode:
    """Deliver the comparison; exit 1 where a limit is passed, 2 where nothing can be compared.

    A limit that cannot be judged must not look kept: exit 3.
    """
    if a == b == "-":
        raise CliError("both looks are stdin", "give a file for one of them")
    refuse_price(price, a, b)
    limits = _limits(fail_on)
    keep = wanted.keep or not load_config().redact
    looks = [_read(path, price, keep=keep) for path in (a, b)]
    if any(look.provenance.source == "trace" for look in looks):
        return _traces(looks, (named(a), named(b)), wish, fail_on, wanted)
    try:
        found = compare(looks[0], looks[1], (named(a), named(b)), wish)
    except MatchError as error:
        raise CliError(str(error), error.fix) from error
    judged = judge(found, limits)
    found = msgspec.structs.replace(found, gate=judged.failed)
    hand_over(wanted, lambda width, color, unicode: draw(found, wanted, width, color, unicode))
    return _code(found, judged)


def _traces(
    looks: Sequence[Diagnosis], names: tuple[str, str], wish: Wish, fail_on: Sequence[str], wanted: Delivery
) -> ExitCode:
    """Diagnoses of profiler traces: compared by step, cause and kernel. Raises CliError."""
    if looks[0].trace is None or looks[1].trace is None:
        what = "one is of a trace, which holds every kernel of some steps, and the other a look at counters"
        raise CliError(f"not comparable: {what}", "compare two of a kind")
    asked = {
        "--gpu": wish.gpu, "--match": wish.pairs, "--cards": wish.cards, "--force": wish.force,
        "--work": wish.work, "--fail-on": fail_on,
    }  # fmt: skip
    beside = next((option for option, value in asked.items() if value), None)
    if beside is not None:
        raise CliError(f"{beside} is for looks at GPUs, and these are traces", "leave it out")
    from advisor.cli.trace_comparing import compare_and_show

    return compare_and_show(looks[0], looks[1], names, wanted)


def _limits(fail_on: Sequence[str]) -> tuple[Limit, ...]:
    try:
        return parse_limits(fail_on)
    except CompareGateError as error:
        raise CliError(f"--fail-on {error}", error.fix) from error


def _read(path: str, price: float | None, *, keep: bool) -> Diagnosis:
    from advisor.reports.redact import redact_diagnosis

    return redact_diagnosis(diagnosis_from(path, price), keep=keep)


def draw(found: Comparison, wanted: Delivery, width: int, color: bool, unicode: bool) -> str:
    """The comparison in the shape asked for."""
    from advisor.reports import compare as reports

    if wanted.shape == "json":
        from advisor.reports.jsontext import as_json

        return as_json(found, unicode=unicode)
    if wanted.shape == "md":
        from advisor.reports.escape import markup_as_ascii

        text = reports.render_markdown(found)
        return text if unicode else markup_as_ascii(text)
    return reports.render_text(found, width, color, unicode=unicode)


def _code(found: Comparison, judged: Judged) -> ExitCode:
    for line in judged.failed:
        note(f"--fail-on: {line}")
    if found.refused is not None:
        raise CliError(f"not comparable: {found.refused}", _what_to_do(found))
    if judged.failed:
        return ExitCode.FINDINGS
    if judged.open:
        raise cannot_measure(f"--fail-on {judged.open[0]}", _how_to_judge(found))
    return ExitCode.OK


def _how_to_judge(found: Comparison) -> str:
    if any(pair.throughput.demand for pair in found.pairs):
        return "ask as much of the engine in both looks, or give what the job counted: --work A=N,B=N"
    return "watch longer, or see what is not alike above"


def _what_to_do(found: Comparison) -> str:
    if not found.pairs:
        return "name two GPUs with --match A_GPU=B_GPU"
    return "make both looks in the same way, or see figures all the same with --force"
