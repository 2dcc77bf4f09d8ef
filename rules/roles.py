"""Roles: of the findings that explain one term of the ladder, one is primary and the others contribute.

A term of time has one cause that is named first: the verdict's own cause where a finding stands for it, else
the secondary one, else the strongest. Findings without a term (faults, facts, capacity) stand alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from rules.finding import SEVERITIES, Finding
from rules.verdict import Verdict

# Pairs of rules that never speak of one device in one window, and why. Each pair is kept apart by the rules'
# own conditions; nothing is struck out afterwards. A word ending in * stands for every code that begins so.
APART: tuple[tuple[str, str, str], ...] = (
    ("MEM001", "MEM002", "the same bandwidth-bound time, with tensor cores in use or not"),
    ("COMP001", "COMP002", "one pipe is the nearest to its roof"),
    ("COMP001", "COMP003", "one pipe is the nearest to its roof"),
    ("COMP001", "COMP004", "one pipe is the nearest to its roof"),
    ("COMP002", "COMP003", "COMP003 is the case of COMP002 in which TF32 would do"),
    ("COMP002", "COMP004", "COMP004 is the case of COMP002 in which fp64 is slow by design"),
    ("COMP003", "COMP004", "one pipe is the nearest to its roof"),
    ("COMP003", "COMP006", "the fp32 pipe is near its roof or it is not"),
    ("COMP003", "COMP005", "the tensor cores idle or they are the limit"),
    ("COMP005", "COMP006", "the tensor cores are the limit or they idle"),
    ("COMP006", "COMP007", "the tensor cores idle or they are the limit"),
    ("DEV001", "DEV007", "SMs without work explain it, or nothing seen does"),
    ("DEV001", "DEV008", "too few warps explain it, or nothing seen does"),
    ("DEV001", "DEV009", "uneven use of the SMs explains it, or nothing seen does"),
    ("DEV007", "DEV008", "the SMs have no work, or too few warps of it"),
    ("DEV007", "DEV009", "the SMs have no work throughout, or at times"),
    ("DEV008", "DEV009", "too few warps on every SM, or SMs without any"),
    ("HOST009", "HOST001", "nothing is asked, or something unseen holds it up"),
    ("HOST009", "HOST002", "little is asked, or more than one thread can launch"),
    ("HOST009", "HOST003", "little is asked, or more than the workers can prepare"),
    ("HOST009", "HOST004", "little is asked, or the process waits for the device"),
    ("HOST009", "HOST005", "little is asked, or the link is full"),
    ("HOST009", "HOST008", "little is asked, or storage cannot deliver it"),
    ("HOST009", "HOST010", "little is asked, or one thread is full with it"),
    ("HOST009", "HOST011", "little is asked, or threads wait to run Python code"),
    ("HOST009", "HOST012", "little is asked, or the tokeniser is full with it"),
    ("HOST009", "HOST013", "little is asked, or serialising is full with it"),
    ("HOST009", "HOST014", "little is asked, or a lock holds it up"),
    ("HOST009", "HOST015", "little is asked, or more than the cores can do"),
    ("HOST009", "HOST016", "little is asked, or a checkpoint holds it up"),
    ("HOST009", "HOST017", "little is asked, or other ranks hold it up"),
    ("IDLE002", "IDLE003", "held idle to the end, or used again and again"),
    ("IDLE002", "HOST016", "nobody uses it, or a checkpoint holds it up"),
    ("IDLE003", "HOST016", "pauses of the user's, or those in which a checkpoint is saved"),
    ("SERVE005", "IDLE002", "the engine says that nobody asks, or nobody knows what is waited for"),
    ("SERVE005", "IDLE003", "the engine says that nobody asks, or nobody knows what is waited for"),
    ("SERVE005", "HOST016", "nobody asks, or a checkpoint holds it up"),
    ("SERVE005", "SERVE001", "nobody asks, or more than the cache can hold"),
    ("SERVE005", "SERVE002", "nobody asks, or few"),
    ("SERVE005", "SERVE003", "nobody asks, or requests wait"),
    ("SERVE005", "SERVE004", "nobody asks, or requests run"),
    ("SERVE001", "SERVE002", "the cache is full, or half empty"),
    ("SERVE001", "SERVE003", "the cache is full, or has room"),
    ("SERVE002", "SERVE003", "none waits, or some do"),
    ("SERVE002", "CAP002", "a batch cannot grow where nothing waits to join it"),
    ("SERVE004", "HOST009", "requests run, or nothing is asked"),
    ("IDLE001", "CAP*", "capacity is a matter of the process that holds the device"),
    ("CAP001", "CAP002", "memory is full, or it has room"),
    ("CAP001", "CAP003", "memory is full, or a part of it would do"),
    ("CAP002", "CAP003", "more work for the same card, or a smaller card for the same work"),
    ("CAP002", "HOST003", "a larger batch asks for more of the input that is missing already"),
    ("CAP002", "HOST008", "a larger batch asks for more of the input that is missing already"),
    ("CAP002", "HOST009", "a batch cannot grow where nothing waits to join it"),
    ("COMM001", "COMM002", "the link between GPUs, or the one to the host"),
    ("HOST015", "HOST023", "the cores it may use are full, or all of the node's"),
    ("HOST015", "HOST024", "a thread is seen to wait for a core, or cores are merely few"),
    ("HOST023", "HOST024", "the node has no core to spare, or many that it may not use"),
    ("DEV003", "DEV015", "heat slows the card, or its power supply"),
    ("HOST021", "HOST022", "memory goes to swap, or is short without"),
)


def assigned(
    findings: Sequence[Finding], verdict: Verdict, causes: Mapping[str, Sequence[str]]
) -> tuple[Finding, ...]:
    """The findings of one device, each with its role. causes: rule code -> cause slugs that it names."""
    chosen = {term: _leader(findings, term, verdict, causes) for term in {f.term for f in findings if f.term}}
    return tuple(
        f if f.term is None else _as(f, "primary" if chosen[f.term] is f else "contributing")
        for f in findings
    )


def _as(finding: Finding, role: Literal["primary", "contributing"]) -> Finding:
    return finding if finding.role == role else msgspec.structs.replace(finding, role=role)


def _leader(
    findings: Sequence[Finding], term: str, verdict: Verdict, causes: Mapping[str, Sequence[str]]
) -> Finding:
    """The finding that names the term's cause: rules that name none lead only where no other speaks."""

    def order(f: Finding) -> tuple[bool, bool, bool, float, int, str]:
        named = causes.get(f.code, ())
        return (
            verdict.cause not in named,
            verdict.secondary_cause not in named,
            not named,
            -f.share * f.confidence,
            SEVERITIES.index(f.severity),
            f.code,
        )

    return min((f for f in findings if f.term == term), key=order)


def apart(a: str, b: str) -> str | None:
    """Why rules `a` and `b` never both speak of one device; None where they may."""
    for first, second, why in APART:
        if (_is(a, first) and _is(b, second)) or (_is(a, second) and _is(b, first)):
            return why
    return None


def _is(code: str, word: str) -> bool:
    return code.startswith(word[:-1]) if word.endswith("*") else code == word


def grouped(findings: Sequence[Finding]) -> tuple[tuple[Finding, ...], ...]:
    """Findings by what they explain: a primary with what contributes to it, in the order they came.

    A finding without a term is a group of its own, and so is a critical one: a fault is never small print.
    """
    groups: dict[tuple[str, str], list[Finding]] = {}
    for number, f in enumerate(findings):
        alone = f.term is None or f.severity == "critical"
        groups.setdefault((f.key, f"#{number}") if alone else (f.key, f.term or ""), []).append(f)
    return tuple(tuple(sorted(g, key=lambda f: f.role != "primary")) for g in groups.values())
