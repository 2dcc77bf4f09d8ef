"""Rules that other installed packages bring: the entry-point group `advisor.rules`.

An entry point names a module, a Rule, or a function without arguments; loading (and calling) it registers
rules with `rules.registry.rule`. One that cannot be loaded is left out with a warning; a code that two
packages claim is an error. A rule that fails while it runs is left out of that document, which says so.
Whatever that code raises but Ctrl-C ends that rule alone, and what it prints goes to stderr.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, redirect_stdout
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

import msgspec

from advisor.document import Diagnosis, Flag
from rules.finding import SEVERITIES, Finding
from rules.registry import (
    Context,
    Rule,
    RuleClashError,
    UnknownRuleError,
    all_rules,
    drop,
    get_rule,
    put,
)

GROUP = "advisor.rules"
OWN = "advisor"
_CODE = re.compile(r"[A-Z]{2,8}[0-9]{1,4}")
# Families of advisor's own, those that are to come among them: --select HOST must mean the same everywhere.
RESERVED = frozenset(
    {"HOST", "MEM", "COMP", "DEV", "COMM", "IDLE", "CAP", "SW", "SERV", "SERVE", "TRACE", "ALL"}
)

_failures: dict[str, str] = {}
# What packages declared, by code, before it was guarded: a second entry point may name it again.
_declared: dict[str, Rule] = {}


class PluginClashError(Exception):
    """Two packages claim one code. The message names both."""


class Loaded(msgspec.Struct, frozen=True):
    """Codes of the rules that packages brought, and one line for each thing that could not be loaded."""

    codes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@cache
def load() -> Loaded:
    """Register the rules of every installed package, once. Raises PluginClashError."""
    all_rules()
    codes: list[str] = []
    problems: list[str] = []
    for entry in sorted(entry_points(group=GROUP), key=lambda e: (_name(e), e.name)):
        made, wrong = _load_one(entry)
        codes += made
        problems += wrong
    return Loaded(tuple(codes), tuple(dict.fromkeys(problems)))


def forget() -> None:
    """Undo `load`: the packages' rules are no longer registered."""
    for rule in all_rules():
        if rule.distribution is not None:
            drop(rule.code)
    _failures.clear()
    _declared.clear()
    load.cache_clear()


def codes() -> tuple[str, ...]:
    """Codes of every rule registered so far."""
    return tuple(rule.code for rule in all_rules())


def rule_of(code: str) -> Rule:
    """The rule with this code, a package's if need be. Raises UnknownRuleError or PluginClashError."""
    try:
        return get_rule(code)
    except UnknownRuleError:
        load()
        return get_rule(code)


def noted(diagnosis: Diagnosis) -> Diagnosis:
    """The document with a flag for each of the packages' rules that failed so far."""
    if not _failures:
        return diagnosis
    flags = tuple(Flag(code="rule-failed", message=said) for said in _failures.values())
    return msgspec.structs.replace(diagnosis, flags=diagnosis.flags + flags)


def _load_one(entry: EntryPoint) -> tuple[list[str], list[str]]:
    """Codes that one entry point registered, and what is wrong with it."""
    before, name = {rule.code: rule for rule in all_rules()}, _name(entry)
    try:
        with _aside():
            found = _register(entry)
    except KeyboardInterrupt:
        raise
    except RuleClashError as error:
        _drop_new(before)
        raise PluginClashError(_clash(error.code, name, before)) from error
    except BaseException as error:
        _drop_new(before)
        return [], [f"rules of {name} ({entry.value}) cannot be loaded: {type(error).__name__}: {error}"]
    made = [rule for rule in all_rules() if rule.code not in before]
    if not made and _is_known(found):
        return [], []
    if not made:
        return [], [f"{name}: the entry point {entry.name!r} ({entry.value}) registers no rule"]
    return _kept(made, name)


def _aside() -> AbstractContextManager[object]:
    """What a package's code prints goes to stderr: stdout is the document's."""
    return redirect_stdout(sys.stderr)


def _register(entry: EntryPoint) -> object:
    """Load the entry point; call it where it is a function that registers rules. What it names."""
    found: object = entry.load()
    if isinstance(found, Rule):
        there = next((rule for rule in all_rules() if rule.code == found.code), None)
        if there is None:
            put(found)
        elif found is not there and found is not _declared.get(found.code):
            raise RuleClashError(found.code)
    elif callable(found):
        found()
    return found


def _is_known(found: object) -> bool:
    """Whether an earlier entry point brought this rule, or rules of this module."""
    if isinstance(found, Rule):
        return found is _declared.get(found.code)
    module = found.__name__ if isinstance(found, ModuleType) else None
    return any(rule.check.__module__ == module for rule in _declared.values())


def _kept(made: list[Rule], name: str) -> tuple[list[str], list[str]]:
    good: list[str] = []
    problems: list[str] = []
    for rule in made:
        wrong = _wrong(rule)
        if wrong:
            drop(rule.code)
            problems.append(f"rule {rule.code!r} of {name} is left out: {wrong}")
        else:
            _declared[rule.code] = rule
            put(msgspec.structs.replace(rule, check=_guarded(rule, name), distribution=name))
            good.append(rule.code)
    return good, problems


def _wrong(rule: Rule) -> str:
    """What is wrong with a package's rule; empty when nothing is."""
    if not _CODE.fullmatch(rule.code):
        return "a code is 2 to 8 capital letters and 1 to 4 digits, such as ACME001"
    family = rule.code.rstrip("0123456789")
    if family in RESERVED:
        return f"codes that begin with {family} are advisor's own; take letters of your own, such as ACME001"
    if rule.severity not in SEVERITIES or rule.owner not in ("job", "fleet"):
        return f"a severity is one of {', '.join(SEVERITIES)}, an owner is job or fleet"
    return "" if rule.doc.strip() else "it has no docstring, so `advisor explain` would have no page"


def _guarded(rule: Rule, name: str) -> Callable[[Context], Finding | None]:
    """The rule's check, which neither raises nor hands on what no report can show."""

    def check(ctx: Context) -> Finding | None:
        try:
            with _aside():
                found = rule.check(ctx)
            return None if found is None else _sound(found, rule, ctx)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            said = f"rule {rule.code} of {name} failed: {type(error).__name__}: {error}"
            _failures.setdefault(rule.code, said[:300])
            return None

    return check


def _sound(found: Finding, rule: Rule, ctx: Context) -> Finding:
    """The finding as the document will hold it. Raises ValueError, TypeError or msgspec.ValidationError."""
    if not isinstance(found, Finding):
        raise TypeError(f"it returned {type(found).__name__}, not a Finding")
    if (found.code, found.key) != (rule.code, ctx.evidence.key):
        raise ValueError(f"its finding is of {found.code} on {found.key}")
    if not (0.0 <= found.share <= 1.0 and 0.0 <= found.confidence <= 1.0):
        raise ValueError(f"share {found.share} and confidence {found.confidence} must be 0 to 1")
    plain = msgspec.convert(msgspec.to_builtins(found), Finding)
    return msgspec.structs.replace(plain, term=rule.term, role="primary")


def _drop_new(before: dict[str, Rule]) -> None:
    for rule in all_rules():
        if rule.code not in before:
            drop(rule.code)


def _clash(code: str, name: str, before: dict[str, Rule]) -> str:
    other = before[code].distribution if code in before else name
    return f"rule {code} is declared by both {other or OWN} and {name}"


def _name(entry: EntryPoint) -> str:
    """The distribution's name, or the entry point's where it belongs to none."""
    return entry.dist.name if entry.dist is not None else entry.name
