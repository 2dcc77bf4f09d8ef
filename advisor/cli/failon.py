"""--fail-on: which findings, or how much waste, turn the exit code into 1."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from advisor.cli.diagnostics import CliError, ExitCode, cannot_measure, note
from advisor.document import Diagnosis
from rules.finding import SEVERITIES, Finding


class FailOn(msgspec.Struct, frozen=True, kw_only=True):
    """Any one of these is enough. severity: the mildest that fails. usd_h: waste of the whole node."""

    severity: str | None = None
    codes: frozenset[str] = frozenset()
    usd_h: float | None = None


def parse_fail_on(texts: Iterable[str]) -> FailOn:
    """SEVERITY, CODE or usd:N, repeated or comma-separated. Raises CliError naming what is wrong."""
    words = [word.strip() for text in texts for word in text.split(",") if word.strip()]
    severities = [word.lower() for word in words if word.lower() in SEVERITIES]
    amounts = [_amount(word) for word in words if word.lower().startswith("usd:")]
    rest = [w for w in words if w.lower() not in SEVERITIES and not w.lower().startswith("usd:")]
    return FailOn(
        severity=max(severities, key=_rank, default=None),
        codes=frozenset(_code(word) for word in rest),
        usd_h=min(amounts, default=None),
    )


def reasons_to_fail(wanted: FailOn, diagnosis: Diagnosis) -> list[str]:
    """One line for each finding, or amount, that is at or over what was asked for.

    Raises CliError when usd:N was asked for and nothing on the node has a price: a gate that cannot be
    judged must not look passed.
    """
    lines = [f"{f.code} on GPU {f.gpu} is {f.severity}" for f in diagnosis.findings if _fails(wanted, f)]
    if wanted.usd_h is None:
        return lines
    wasted = diagnosis.totals.wasted_usd_h
    if wasted is None and not lines:
        raise cannot_measure(
            "--fail-on usd: cannot be judged, because no GPU here has a known price", "give --price USD_H"
        )
    if wasted is not None and wasted >= wanted.usd_h:
        lines.append(f"${wasted:.2f}/h is wasted, at or over ${wanted.usd_h:.2f}/h")
    return lines


def judge(diagnosis: Diagnosis, wanted: FailOn) -> ExitCode:
    """FINDINGS when anything asked for is there, with each reason on stderr."""
    reasons = reasons_to_fail(wanted, diagnosis)
    for line in reasons:
        note(f"--fail-on: {line}")
    return ExitCode.FINDINGS if reasons else ExitCode.OK


def _fails(wanted: FailOn, finding: Finding) -> bool:
    severe = wanted.severity is not None and _rank(finding.severity) <= _rank(wanted.severity)
    return severe or finding.code in wanted.codes


def _rank(severity: str) -> int:
    """0 is the worst."""
    return [str(s) for s in SEVERITIES].index(severity)


def _amount(word: str) -> float:
    try:
        amount = float(word[4:])
    except ValueError:
        amount = -1.0
    if not 0 <= amount < float("inf"):
        raise CliError(f"--fail-on {word!r}: not an amount", "write usd:2.50 for $2.50 per hour")
    return amount


def _code(word: str) -> str:
    from rules.registry import UnknownRuleError, get_rule

    try:
        return get_rule(word).code
    except UnknownRuleError as error:
        fix = f"give a severity ({', '.join(SEVERITIES)}), a rule's code, or usd:N"
        raise CliError(f"--fail-on: {error}", fix) from None
