"""What is to fail a run: the words of --fail-on and of the configuration's `fail_on`, read by one rule."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from rules.finding import SEVERITIES


class FailOn(msgspec.Struct, frozen=True, kw_only=True):
    """Any one of these is enough. severity: the mildest that fails. usd_h: waste of the whole node."""

    severity: str | None = None
    codes: frozenset[str] = frozenset()
    usd_h: float | None = None


class GateError(ValueError):
    """A word that means nothing here. `fix` says what does."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


def parse_gate(texts: Iterable[str]) -> FailOn:
    """SEVERITY, CODE or usd:N, repeated or comma-separated. Raises GateError naming what is wrong."""
    words = [word.strip() for text in texts for word in text.split(",") if word.strip()]
    severities = [word.lower() for word in words if word.lower() in SEVERITIES]
    amounts = [_amount(word) for word in words if word.lower().startswith("usd:")]
    rest = [w for w in words if w.lower() not in SEVERITIES and not w.lower().startswith("usd:")]
    return FailOn(
        severity=max(severities, key=rank, default=None),
        codes=frozenset(_code(word) for word in rest),
        usd_h=min(amounts, default=None),
    )


def rank(severity: str) -> int:
    """0 is the worst."""
    return [str(s) for s in SEVERITIES].index(severity)


def _amount(word: str) -> float:
    try:
        amount = float(word[4:])
    except ValueError:
        amount = -1.0
    if not 0 <= amount < float("inf"):
        raise GateError(f"{word!r}: not an amount", "write usd:2.50 for $2.50 per hour")
    return amount


def _code(word: str) -> str:
    from advisor.plugins import PluginClashError, rule_of
    from rules.registry import UnknownRuleError

    try:
        return rule_of(word).code
    except UnknownRuleError as error:
        fix = f"give a severity ({', '.join(SEVERITIES)}), a rule's code, or usd:N"
        raise GateError(str(error), fix) from None
    except PluginClashError as error:
        raise GateError(str(error), "uninstall one of the two") from None
