"""All checks in their order, and as the lines the doctor prints."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.cli.checks.check import Check
from advisor.reports.escape import terminal

COLOR = {"ok": "32", "warn": "33", "fail": "31", "skip": "2"}


def every_check() -> list[Check]:
    """Run every check. Takes seconds at most, also with a driver that hangs."""
    from advisor.cli.checks.ceilings import ceilings_check
    from advisor.cli.checks.environment import environment_checks
    from advisor.cli.checks.host import host_checks
    from advisor.cli.checks.libraries import library_checks
    from advisor.cli.checks.nvidia import nvidia_checks
    from advisor.cli.checks.nvml_look import look
    from advisor.cli.checks.prices import price_check

    seen = look()
    libraries = [*library_checks(seen.cuda), ceilings_check(seen), price_check(seen)]
    return [*nvidia_checks(seen), *host_checks(), *libraries, *environment_checks()]


def as_text(checks: Sequence[Check], color: bool) -> str:
    """One line a check, its fix below it, and a count at the end."""
    return "".join(_lines(check, color) for check in checks) + _count(checks)


def _lines(check: Check, color: bool) -> str:
    status = f"{check.status:<5}"
    shown = f"\x1b[{COLOR[check.status]}m{status}\x1b[0m" if color else status
    line = f"{shown} {check.id:<20} {terminal(check.detail)}\n"
    return line + (f"{'':<6}{'':<21}fix: {terminal(check.fix)}\n" if check.fix else "")


def _count(checks: Sequence[Check]) -> str:
    counts = ((status, sum(c.status == status for c in checks)) for status in COLOR)
    return ", ".join(f"{count} {status}" for status, count in counts if count) + "\n"
