"""Fixes: one function each, from a Case to what the fix would do there, registered by a decorator."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from functools import cache

import msgspec

from rules.whatif import Lever, WhatIfBasis
from rules.whatifs.case import Case

_MODULES = ("host", "precision", "work", "clocks", "cards", "replicas", "traces")
_NOT_IN_TRACE = "a trace does not say what it would do: look at the live process with `advisor diagnose`"


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What a fix would do, before it is worked out in throughput and dollars.

    basis: of what is not in the levers, such as prices; None where all is. how: what the range rests on, in
    words; the rest as in WhatIf. no_work: nothing ran that could be faster.
    price_known: whether another card's price goes with today's; without, it is throughput alone.
    if_asked: nothing seen speaks for it, so it is said only to whoever asks for it.
    """

    levers: tuple[Lever, ...]
    how: str
    basis: WhatIfBasis | None = None
    title: str = ""
    assumes: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    price_low: float = 1.0
    price_high: float = 1.0
    watts_low: float | None = None
    watts_high: float | None = None
    no_work: bool = False
    price_known: bool = True
    if_asked: bool = False


class Refused(msgspec.Struct, frozen=True):
    """That nothing can be said of a fix that one would ask for, and why. if_asked: as in Draft."""

    because: str
    if_asked: bool = False


Answer = Draft | Refused | None


class Fix(msgspec.Struct, frozen=True, kw_only=True):
    """One fix. group: of fixes that exclude each other, else "". apart: slugs of others that it cannot be
    combined with, since both would count the same time or the same requests. page: its docstring. of_trace:
    what a trace says of it, where that is not what a live look says; codes: of both.
    """

    slug: str
    title: str
    codes: tuple[str, ...]
    group: str
    apart: tuple[str, ...]
    work: Callable[[Case], Answer]
    page: str
    of_trace: Callable[[Case], Answer] | None = None

    def answer(self, case: Case) -> Answer:
        """What it would do in a case, live or traced."""
        if case.evidence.tier != "trace":
            return self.work(case)
        return Refused(_NOT_IN_TRACE, if_asked=True) if self.of_trace is None else self.of_trace(case)

    @property
    def summary(self) -> str:
        """The page's first line."""
        return self.page.partition("\n")[0]


class UnknownFixError(LookupError):
    """No fix has this name. The message names close ones."""


_FIXES: dict[str, Fix] = {}
# Slug -> what a trace says of a fix that a live look knows too, and the rules of traces that it answers.
_OF_TRACE: dict[str, tuple[Callable[[Case], Answer], tuple[str, ...]]] = {}


def fix(
    slug: str, title: str, *, codes: tuple[str, ...] = (), group: str = "", apart: tuple[str, ...] = ()
) -> Callable[[Callable[[Case], Answer]], Callable[[Case], Answer]]:
    """Register the decorated function as the fix `slug`.

    It gives a Draft, a Refused where one would ask for it and nothing can be said, or None where it touches
    none of this card's time. codes: rules whose findings it answers. Raises ValueError for a slug twice.
    """

    def register(work: Callable[[Case], Answer]) -> Callable[[Case], Answer]:
        if slug in _FIXES:
            raise ValueError(f"fix {slug} is declared twice")
        page = inspect.cleandoc(work.__doc__ or "")
        _FIXES[slug] = Fix(
            slug=slug, title=title, codes=codes, group=group, apart=apart, work=work, page=page
        )
        return work

    return register


def traced(
    slug: str, *, codes: tuple[str, ...]
) -> Callable[[Callable[[Case], Answer]], Callable[[Case], Answer]]:
    """Register the decorated function as what a trace says of the fix `slug`, registered or yet to be.

    codes: rules of traces whose findings the fix answers beside its own.
    """

    def register(work: Callable[[Case], Answer]) -> Callable[[Case], Answer]:
        _OF_TRACE[slug] = (work, codes)
        return work

    return register


@cache
def all_fixes() -> tuple[Fix, ...]:
    """Every fix, in the order in which modules and functions stand."""
    names = [importlib.import_module(f"rules.whatifs.{module}").__name__ for module in _MODULES]
    # Whatever imported one of them before: sorting is stable, and keeps each module's own order.
    found = sorted(_FIXES.values(), key=lambda each: names.index(each.work.__module__))
    return tuple(_with_trace(each) for each in found)


def _with_trace(found: Fix) -> Fix:
    if found.slug not in _OF_TRACE:
        return found
    work, codes = _OF_TRACE[found.slug]
    return msgspec.structs.replace(found, of_trace=work, codes=(*found.codes, *codes))


def replaces(one: Fix, other: Fix) -> bool:
    """Whether one of two fixes is instead of the other, so that they cannot be asked for together."""
    same = bool(one.group) and one.group == other.group
    return one.slug != other.slug and (same or one.slug in other.apart or other.slug in one.apart)


def named(word: str) -> tuple[Fix, ...]:
    """The fix of this slug, or the fixes that answer a rule's code, in any case.

    Raises UnknownFixError with what is close to it.
    """
    wanted = word.strip()
    by_slug = [f for f in all_fixes() if f.slug == wanted.lower().replace("_", "-")]
    found = by_slug or [f for f in all_fixes() if wanted.upper() in f.codes]
    if not found:
        raise UnknownFixError(_unknown(wanted))
    return tuple(found)


def _unknown(wanted: str) -> str:
    import difflib

    slugs = [f.slug for f in all_fixes()]
    codes = sorted({code for f in all_fixes() for code in f.codes})
    near = difflib.get_close_matches(wanted.lower(), slugs, n=3, cutoff=0.5)
    near += difflib.get_close_matches(wanted.upper(), codes, n=3, cutoff=0.6)
    hint = f"did you mean {', '.join(near[:3])}?" if near else f"there are {', '.join(slugs)}"
    return f"no fix is called {wanted!r}; {hint}"
