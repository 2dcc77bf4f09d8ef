"""`advisor whatif`: a diagnosis and words on the command line become answers, or an error with its fix."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.asked import Answers, answers
from advisor.cli.diagnostics import CliError
from advisor.cli.documents import devices_named, diagnosis_from, refuse_price
from advisor.document import Diagnosis
from advisor.naming import Place, words
from advisor.whatifs import missing
from rules.whatifs.answers import ExclusiveFixesError
from rules.whatifs.registry import Fix, UnknownFixError, named

_AGAIN = "make it again with `advisor diagnose --json -o FILE`, or give a recording"

_LIST = "`advisor whatif --list` shows them all"


def asked(path: str, said: Sequence[str], gpu: str | None, price: float | None, keep: bool) -> Answers:
    """The answers for a saved diagnosis or a recording. Raises CliError."""
    from advisor.cli.inputs import load_config
    from advisor.reports.redact import redact_diagnosis

    refuse_price(price, path)
    fixes = chosen(said)
    config = load_config()
    document = redact_diagnosis(diagnosis_from(path, price), keep=keep or not config.redact)
    keys = keys_of(document, gpu)
    because = missing(document, keys or ())
    if because is not None:
        raise CliError(f"{path}: nothing can be worked out, as {because}", _AGAIN)
    try:
        return answers(document, fixes, keys, config)
    except ExclusiveFixesError as error:
        raise CliError(f"--fix: {error}", "ask for each in a command of its own, to compare them") from error


def chosen(words: Sequence[str]) -> tuple[Fix, ...]:
    """The fixes that words name: slugs or codes of rules, comma-separated. Raises CliError for others."""
    found: list[Fix] = []
    try:
        for word in (part for text in words for part in text.split(",") if part.strip()):
            found += [fix for fix in named(word) if fix not in found]
    except UnknownFixError as error:
        raise CliError(f"--fix: {error}", _LIST) from error
    if words and not found:
        raise CliError("--fix names no fix", _LIST)
    return tuple(found)


def keys_of(document: Diagnosis, gpu: str | None) -> tuple[str, ...] | None:
    """Keys of the rows that --gpu names by index or UUID (its beginning will do); None: all.

    Raises CliError for one that is not there.
    """
    chosen = words(gpu)
    if chosen is None:
        return None
    places = [Place(verdict.key, verdict.gpu, verdict.mig) for verdict in document.verdicts]
    known = ", ".join(dict.fromkeys(str(place.gpu) for place in places)) or "none"
    found: list[str] = []
    for word in chosen:
        mine = devices_named(word, places)
        if not mine:
            raise CliError(f"--gpu {word}: no such GPU in this diagnosis", f"it has GPU {known}")
        found += [place.key for place in mine]
    return tuple(dict.fromkeys(found))
