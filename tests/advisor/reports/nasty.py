"""One document with everything that has ever broken a report in it. All of it is invented."""

from __future__ import annotations

from advisor.document import Diagnosis, Flag
from rules.evidence import Workload
from rules.finding import Finding
from rules.verdict import Verdict
from tests.factories import (
    make_device_provenance,
    make_diagnosis,
    make_effect,
    make_evidence_item,
    make_finding,
    make_ladder,
    make_provenance,
    make_totals,
    make_verdict,
)

PIPES = "a | b || c \\| d"
BACKTICKS = "`rm -rf` ```\n```"
SCRIPT = "<script>alert(1)</script><!-- --><details open>"
LINK = "[click](https://example.org) ![x](https://example.org/x.png) https://example.org/?a=1 <https://example.org>"
ESCAPES = "\x1b[31mred\x1b[0m\x1b]0;title\x07\x9b2J\x00"
OVERRIDE = "\u202egpj.exe\u202c\u200b\u2066x\u2069"
LONG = "n" * 5000
LINES = "one\n# two\r\n- three\n\n| four |\n{noformat}h1. five{code}"
MARKUP = "[bold red]not markup[/bold red] [link=https://example.org]x[/link]"
MENTION = (
    "@everyone #1 GH-2 org/repo#3 :+1: $\\href{x}{y}$ &lt;b&gt; __b__ *i* ~s~ ^u^ ??c?? {color:red}z{color}"
)
SURROGATE = "caf\udce9"
ALL = (PIPES, BACKTICKS, SCRIPT, LINK, ESCAPES, OVERRIDE, LONG, LINES, MARKUP, MENTION, SURROGATE)


def nasty() -> Diagnosis:
    """Hostile names on four GPUs: one split by MIG, one lost, one without a price; synthetic."""
    verdicts = _verdicts()
    ladder = tuple(make_ladder(v, price_usd_h=price) for v, price in zip(verdicts, _PRICES, strict=True))
    return make_diagnosis(
        verdicts=verdicts,
        ladder=ladder,
        totals=make_totals(ladder),
        findings=_findings(),
        flags=_flags(verdicts),
        provenance=make_provenance(
            verdicts,
            note=f"simulated NVML library {SCRIPT}",
            command="advisor run -- python train.py --name '```{noformat}' \x1b[31m",
            host=f"node {LINK}",
            driver_version=PIPES,
            redacted=("host name -> stable hash", "2 secrets in command lines", SCRIPT),
            unknown={"cuda": LINES},
            devices=tuple(
                make_device_provenance(v, unknown={"gpm": MARKUP}, **known)
                for v, known in zip(verdicts, _CEILINGS, strict=True)
            ),
        ),
    )


_CEILINGS: tuple[dict[str, str], ...] = (
    {"ceilings_label": "measured", "ceilings_measured": "2026-03-29T08:00:00+00:00"},
    {"ceilings_measured": LINK, "ceilings_stale": SCRIPT},
    {"ceilings_label": "measured", "ceilings_measured": ESCAPES, "ceilings_stale": LONG},
    {},
    {},
    {"ceilings_label": MARKUP, "ceilings_stale": LINES},
)
_PRICES = (6.88, 6.88, 0.983, 0.983, 6.88, None)


def _verdicts() -> tuple[Verdict, ...]:
    return (
        make_verdict(
            "host", gpu=0, workload=Workload(pid=1, name=PIPES, job=BACKTICKS), headline=_said(0, PIPES)
        ),
        make_verdict(
            "memory",
            gpu=1,
            workload=Workload(pid=2, name=SCRIPT, job=LINK, others=3),
            headline=_said(1, LINK),
        ),
        make_verdict(
            "idle", gpu=2, mig="1g.10gb/7", workload=Workload(pid=3, name=LONG), headline=_said(2, LONG)
        ),
        make_verdict(
            "device", gpu=2, mig=LINES, workload=Workload(pid=4, name=ESCAPES), headline=_said(2, MARKUP)
        ),
        make_verdict(
            "unknown", gpu=3, workload=None, cause="gpu-lost", unknown_because=(f"GPU_IS_LOST {SCRIPT}",)
        ),
        make_verdict(
            "compute", gpu=4, device_name=OVERRIDE, workload=Workload(pid=5, name=SURROGATE), headline=""
        ),
    )


def _said(gpu: int, name: str) -> str:
    return f"GPU {gpu} (Simulated X100 80GB) is busy with {name}."


def _findings() -> tuple[Finding, ...]:
    odd = make_evidence_item(SCRIPT, value=LINK, unit=PIPES, threshold=BACKTICKS, source=LINES)
    return (
        make_finding(gpu=0, title=PIPES, claim=f"{BACKTICKS} {LINK}", evidence=(odd, make_evidence_item())),
        make_finding(
            "MEM001",
            gpu=1,
            title=LINES,
            claim=LINES,
            why=MENTION,
            actions=(SCRIPT, LINES, "`a|b` c"),
            usd_h=1.2,
        ),
        make_finding(
            "MEM004",
            gpu=1,
            title=LINES,
            claim=f"{SCRIPT} {LINK}",
            actions=(MARKUP, LINES, "no room for this"),
            usd_h=6.8,
            role="contributing",
        ),
        make_finding(
            "IDLE002", gpu=2, mig="1g.10gb/7", title=LONG, claim=LONG, effect=None, usd_h=0.98, owner="fleet"
        ),
        make_finding(
            "DEV001", gpu=2, mig=LINES, claim=ESCAPES, effect=make_effect(0.9, 1.2, basis=MARKUP), usd_h=0.4
        ),
        make_finding(
            "FAULT001", gpu=3, severity="critical", claim=OVERRIDE, usd_h=None, share=1.0, effect=None
        ),
        make_finding(LINK, gpu=4, title=SURROGATE, claim=MENTION, usd_h=None, evidence=(), actions=()),
    )


def _flags(verdicts: tuple[Verdict, ...]) -> tuple[Flag, ...]:
    assumed = tuple(
        Flag(code="assumed-ceilings", message=f"GPU {v.gpu}: {PIPES}", key=v.key) for v in verdicts
    )
    return (
        Flag(code="synthetic", message="no GPU produced these figures"),
        *assumed,
        Flag(code=LINK, message=ESCAPES),
    )
