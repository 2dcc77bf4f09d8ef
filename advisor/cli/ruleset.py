"""The rules of a run: those that packages bring, and the words that choose among them."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.cli.diagnostics import CliError, warn


def load_rules() -> None:
    """Register the rules of installed packages, with a warning for each that cannot be loaded.

    Raises CliError where two packages claim one code.
    """
    from advisor.plugins import PluginClashError, load

    try:
        problems = load().problems
    except PluginClashError as error:
        raise CliError(str(error), "uninstall one of the two, or have its code changed") from error
    for line in dict.fromkeys(problems):
        warn(line)


def chosen(select: Sequence[str], ignore: Sequence[str]) -> dict[str, str | None]:
    """The settings that --select and --ignore give; None where an option was not given.

    Raises CliError for a word that fits no rule.
    """
    load_rules()
    return {"select": _words("--select", select), "ignore": _words("--ignore", ignore)}


def _words(option: str, given: Sequence[str]) -> str | None:
    from advisor.selection import SelectionError, parse_words

    if not given:
        return None
    text = ",".join(given)
    try:
        return ",".join(parse_words(text))
    except SelectionError as error:
        raise CliError(f"{option}: {error}", error.fix) from error
