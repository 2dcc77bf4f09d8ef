"""Selection: which rules' findings a document keeps, by --select and --ignore, and how it says so.

As in ruff: a word is a rule's code or the beginning of codes, the longer of two words that match decides, and
of equal ones --ignore does. Verdicts, the ladder and the bill, with what of it is recoverable, never change;
only findings are left out of what is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from advisor.document import Diagnosis, Flag
from rules.finding import Finding

ALL = "ALL"
_MAX_NAMED = 12


class SelectionError(ValueError):
    """A word that is neither a rule's code nor the beginning of one. `fix` says what would be."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Words in capitals. No `select` selects every rule."""

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def keeps(self, code: str) -> bool:
        """Whether findings of this rule stay."""
        selected = _longest(code, self.select) if self.select else 0
        ignored = _longest(code, self.ignore)
        return selected is not None and (ignored is None or ignored < selected)

    def applied(self, diagnosis: Diagnosis) -> Diagnosis:
        """The document without the findings left out; its provenance and a flag say which those were."""
        if not self.select and not self.ignore:
            return diagnosis
        kept = tuple(f for f in diagnosis.findings if self.keeps(f.code))
        lost = [f for f in diagnosis.findings if not self.keeps(f.code)]
        before = diagnosis.provenance
        provenance = msgspec.structs.replace(
            before,
            select=_merged(before.select, self.select),
            ignore=_merged(before.ignore, self.ignore),
            ignored=dict(sorted((Counter(before.ignored) + Counter(f.code for f in lost)).items())),
        )
        flags = diagnosis.flags + ((_flag(lost),) if lost else ())
        return msgspec.structs.replace(diagnosis, findings=kept, provenance=provenance, flags=flags)


def parse_selection(select: str, ignore: str) -> Selection:
    """A selection from two comma-separated lists. Raises SelectionError for a word that fits no rule."""
    return Selection(select=parse_words(select), ignore=parse_words(ignore))


def parse_words(text: str) -> tuple[str, ...]:
    """The words of a comma-separated list. Raises SelectionError for one that fits no rule."""
    words = tuple(dict.fromkeys(word.strip().upper() for word in text.split(",") if word.strip()))
    for word in words:
        _check(word)
    return words


def _check(word: str) -> None:
    from advisor.plugins import PluginClashError, codes, load

    if word == ALL or any(code.startswith(word) for code in codes()):
        return
    try:
        load()
    except PluginClashError as error:
        raise SelectionError(str(error), "uninstall one of the two") from None
    known = codes()
    if not any(code.startswith(word) for code in known):
        raise SelectionError(f"no rule's code is {word!r} or begins with it", _near(word, known))


def _near(word: str, known: Iterable[str]) -> str:
    import difflib

    families = {code.rstrip("0123456789") for code in known}
    near = difflib.get_close_matches(word, sorted({*known, *families}), n=3, cutoff=0.5)
    return f"did you mean {', '.join(near)}?" if near else "`advisor rules` lists every code"


def _longest(code: str, words: Iterable[str]) -> int | None:
    """Length of the longest word that the code begins with; ALL counts as 0, no match as None."""
    return max((0 if w == ALL else len(w) for w in words if w == ALL or code.startswith(w)), default=None)


def _merged(before: tuple[str, ...], now: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*before, *now)))


def _flag(lost: list[Finding]) -> Flag:
    named = [f"{code} ({count})" for code, count in sorted(Counter(f.code for f in lost).items())]
    more = f" and {len(named) - _MAX_NAMED} more" if len(named) > _MAX_NAMED else ""
    worst = ", critical ones among them" if any(f.severity == "critical" for f in lost) else ""
    said = f"findings left out by --select or --ignore{worst}: {', '.join(named[:_MAX_NAMED])}{more}"
    return Flag(code="rules-ignored", message=said)
