"""Registry: every rule, its page, and how a rule turns what it saw into a Finding.

A rule is one function from a `Context` to a `Finding` or None. Its docstring is its page, with the
sections named in `SECTIONS`; `advisor explain CODE` prints it. Rules never raise and do no I/O.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from functools import cache, cached_property
from typing import Literal

import msgspec

from probes.ceilings import Ceilings
from rules import thresholds as t
from rules.economics import no_dust, saved
from rules.evidence import Evidence, Tier
from rules.finding import SEVERITIES, TERMS, Effect, Finding, LadderRow, Price, Severity
from rules.headline import WITHIN_NOISE
from rules.host_cause import HostCause, host_causes
from rules.roles import assigned
from rules.siblings import Sibling
from rules.verdict import EvidenceItem, Verdict

Owner = Literal["job", "fleet"]

# What a finding rests on, and so how sure it can be: the verdict; counters read over the window, as far
# as the window was seen; or a fact that the driver states.
Basis = Literal["verdict", "window", "fact"]

SECTIONS: tuple[str, ...] = (
    "What it detects",
    "Why it costs",
    "How to tell it apart",
    "What to do",
    "Evidence",
    "Source",
)

_CATALOGUE = (
    "idle",
    "host",
    "host_inside",
    "host_limits",
    "memory",
    "compute",
    "device",
    "shape",
    "levers",
    "capacity",
    "faults",
    "clocks",
    "degraded",
    "node",
    "communication",
    "serving",
    "traces_host",
    "traces_calls",
    "traces_kernels",
    "traces_roofs",
    "traces_queue",
    "traces_shapes",
    "traces_job",
    "traces_validity",
)
# What a rule reads: counters and NVML over a window, or a trace.
LIVE_TIERS: tuple[Tier, ...] = ("counters", "nvml")
# Of two shares that are too close to tell apart, as sure as a toss between them: of the class, not the share.
_EITHER = 0.5

_REGISTRY: dict[str, Rule] = {}


class RuleClashError(ValueError):
    """Two rules want the same code."""

    def __init__(self, code: str) -> None:
        super().__init__(f"rule {code} is declared twice")
        self.code = code


class UnknownRuleError(LookupError):
    """No rule has this code. The message names codes close to it."""


class Context(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """All that a rule may look at: one workload, its verdict and ladder, what the card can do, its price.

    ceilings is None on a card nothing is known of. price is that of one whole GPU. siblings: every row of the
    node in the same window, this one included; empty where only one was looked at.
    """

    evidence: Evidence
    verdict: Verdict
    ladder: LadderRow
    ceilings: Ceilings | None
    price: Price
    siblings: tuple[Sibling, ...] = ()

    @cached_property
    def host_causes(self) -> tuple[HostCause, ...]:
        """Every cause of a host gap that the evidence supports, best first; worked out once."""
        return host_causes(self.evidence)


Check = Callable[[Context], Finding | None]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. severity is the worst it can get; a finding's own falls with the share it stands for.

    doc: the page, Markdown. basis: what a finding rests on; it caps the finding's confidence.
    term: the ladder's term that its findings explain (a key of TERMS), None for faults, facts and capacity.
    causes: the verdict's causes that it names; among findings of one term the one that names the verdict's
    cause is primary. tiers: those whose evidence it reads; of another it is not asked. distribution: the
    installed package it came with, None for advisor's own.
    """

    code: str
    title: str
    severity: Severity
    owner: Owner
    basis: Basis
    check: Check
    doc: str
    term: str | None = None
    causes: tuple[str, ...] = ()
    tiers: tuple[Tier, ...] = LIVE_TIERS
    distribution: str | None = None

    def __call__(self, ctx: Context) -> Finding | None:
        """The finding this rule makes of `ctx`, or None where it does not apply."""
        return self.check(ctx)


def rule(
    code: str,
    title: str,
    severity: Severity,
    owner: Owner,
    basis: Basis = "verdict",
    *,
    term: str | None = None,
    causes: tuple[str, ...] = (),
    tiers: tuple[Tier, ...] = LIVE_TIERS,
) -> Callable[[Check], Rule]:
    """Register the decorated function as rule `code`.

    Raises RuleClashError when the code is taken, ValueError when `term` is no term of the ladder.
    """
    if term is not None and term not in TERMS:
        raise ValueError(f"rule {code}: {term!r} is no term; there are {', '.join(TERMS)}")

    def register(check: Check) -> Rule:
        if code in _REGISTRY:
            raise RuleClashError(code)
        made = Rule(
            code=code,
            title=title,
            severity=severity,
            owner=owner,
            basis=basis,
            check=check,
            doc=check.__doc__ or "",
            term=term,
            causes=causes,
            tiers=tiers,
        )
        _REGISTRY[code] = made
        all_rules.cache_clear()
        return made

    return register


def put(made: Rule) -> None:
    """Register a rule that was made elsewhere, in place of one of the same code."""
    _REGISTRY[made.code] = made
    all_rules.cache_clear()


def drop(code: str) -> None:
    """Forget a rule, if there is one of this code."""
    _REGISTRY.pop(code, None)
    all_rules.cache_clear()


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule of the catalogue, sorted by code."""
    for module in _CATALOGUE:
        importlib.import_module(f"rules.catalogue.{module}")
    return tuple(_REGISTRY[code] for code in sorted(_REGISTRY))


def get_rule(code: str) -> Rule:
    """The rule with this code, in any case. Raises UnknownRuleError, which suggests the nearest codes."""
    wanted = code.strip().upper()
    found = next((r for r in all_rules() if r.code == wanted), None)
    if found is None:
        raise UnknownRuleError(_unknown_message(code, wanted))
    return found


def _unknown_message(code: str, wanted: str) -> str:
    import difflib

    near = difflib.get_close_matches(wanted, [r.code for r in all_rules()], n=3, cutoff=0.5)
    hint = f"; did you mean {', '.join(near)}?" if near else "; `advisor rules` lists them all"
    return f"no rule has the code {code!r}{hint}"


def sections(found: Rule) -> dict[str, str]:
    """The page's sections, heading to text. The lines before the first heading stand under ""."""
    return dict(_sections(found.doc))


@cache
def _sections(doc: str) -> dict[str, str]:
    parts: dict[str, list[str]] = {"": []}
    current = ""
    for line in inspect.cleandoc(doc).splitlines():
        heading = line.strip()
        if heading.startswith("**") and heading.endswith("**") and heading[2:-2] in SECTIONS:
            current = heading[2:-2]
            parts[current] = []
        else:
            parts[current].append(line)
    return {name: "\n".join(lines).strip() for name, lines in parts.items()}


def page(code: str) -> str:
    """The rule's page as Markdown. Raises UnknownRuleError for a code no rule has."""
    found = get_rule(code)
    facts = f"Severity: up to {found.severity}. Who can act: {found.owner}. Rests on: {found.basis}."
    return f"# {found.code} {found.title}\n\n{facts}\n\n{inspect.cleandoc(found.doc)}\n"


def run_rules(ctx: Context) -> tuple[Finding, ...]:
    """What every rule finds in `ctx`, with roles; most severe first, then by the share at stake."""
    asked = (each for each in all_rules() if ctx.evidence.tier in each.tiers)
    found = [finding for finding in (each(ctx) for each in asked) if finding is not None]
    found.sort(key=lambda f: (SEVERITIES.index(f.severity), -f.share, f.code))
    return assigned(found, ctx.verdict, {r.code: r.causes for r in all_rules()})


def severity_of(share: float, worst: Severity) -> Severity:
    """Severity for a share of paid time, never worse than the rule's own."""
    steps: tuple[tuple[float, Severity], ...] = (
        (t.SEVERITY_HIGH.value, "high"),
        (t.SEVERITY_MEDIUM.value, "medium"),
        (t.SEVERITY_LOW.value, "low"),
    )
    by_share: Severity = next((name for least, name in steps if share >= least), "info")
    return max(by_share, worst, key=SEVERITIES.index)


def finding(
    ctx: Context,
    found: Rule,
    *,
    claim: str,
    share: float,
    evidence: tuple[EvidenceItem, ...] = (),
    actions: tuple[str, ...] = (),
    effect: Effect | None = None,
    recoverable: float | None = None,
    confidence: float = 1.0,
    severity: Severity | None = None,
) -> Finding:
    """A Finding of `found` on the workload in `ctx`.

    share: of paid time, 0 to 1, that the finding stands for. recoverable: the part of paid time the fix
    could at most win back, by default the share; it sets usd_h, at most what the effect's upper end saves,
    and no price means no dollars.
    confidence: of the rule's own reading, capped by what the rule rests on. severity: given only where the
    share does not decide.
    """
    at_stake = clamp(share)
    most = at_stake if recoverable is None else clamp(recoverable)
    won_back = most if effect is None else min(most, saved(effect))
    return Finding(
        code=found.code,
        title=found.title,
        severity=severity or severity_of(at_stake, found.severity),
        gpu=ctx.evidence.gpu,
        key=ctx.evidence.key,
        mig=ctx.evidence.mig,
        claim=claim,
        confidence=_confidence(ctx, found, confidence),
        share=at_stake,
        why=" ".join(sections(found).get("Why it costs", "").split()),
        evidence=evidence,
        actions=actions,
        effect=effect,
        usd_h=_dollars(ctx, won_back),
        owner=found.owner,
        references=references(found),
        term=found.term,
        recoverable=won_back,
    )


def references(found: Rule) -> tuple[str, ...]:
    """The bullets of the page's Source section, one reference each."""
    text = sections(found).get("Source", "")
    bullets = ("\n" + text).split("\n- ")[1:]
    return tuple(" ".join(bullet.split()) for bullet in bullets)


def coverage(evidence: Evidence) -> float:
    """Share of the window for which there is data, 0 to 1."""
    length = evidence.t_end_s - evidence.t_start_s
    if length <= 0 or all(w.lost for w in evidence.windows):
        return 0.0
    return clamp(1.0 - evidence.gap_s / length)


def clamp(value: float) -> float:
    """`value` within 0 to 1; a NaN becomes 0."""
    return min(1.0, max(0.0, value)) if value == value else 0.0


def _confidence(ctx: Context, found: Rule, own: float) -> float:
    limits = {"verdict": verdict_confidence(ctx.verdict), "window": coverage(ctx.evidence), "fact": 1.0}
    return min(clamp(own), clamp(limits[found.basis]))


def verdict_confidence(verdict: Verdict) -> float:
    """How sure a finding can be that rests on the verdict's shares.

    A verdict that leaves two candidates claims nothing itself; that either share is there may be claimed.
    """
    close = verdict.class_ == "unknown" and verdict.cause == WITHIN_NOISE
    return min(_EITHER, 1.0 - verdict.shares.get("unknown", 0.0)) if close else verdict.confidence


def _dollars(ctx: Context, recoverable: float) -> float | None:
    usd_h = ctx.price.usd_h
    if usd_h is None:
        return None
    paid = usd_h * clamp(ctx.evidence.price_share)
    return no_dust(recoverable * paid, paid)
