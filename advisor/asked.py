"""What was asked of a saved diagnosis: all fixes of its GPUs, or some fixes together."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from advisor.config import Config
from advisor.document import Diagnosis
from advisor.whatifs import cases
from rules.verdict import Verdict
from rules.whatif import WhatIf
from rules.whatifs.answers import combined, what_ifs
from rules.whatifs.registry import Fix, all_fixes, replaces

SCHEMA_VERSION = 1


class RowAnswers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What fixes would buy on one GPU or MIG instance. headline: its verdict, in a sentence (untrusted)."""

    key: str
    gpu: int
    headline: str
    mig: str | None = None
    price_usd_h: float | None = None
    price_source: str = ""
    what_ifs: tuple[WhatIf, ...] = ()


class Answers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `advisor whatif --json` prints. fixes: those asked for together; empty: each fix by itself.

    host: the node's pseudonym; created: when the diagnosis was made, ISO 8601 in UTC; source: how. synthetic:
    no GPU produced its figures. redacted: what was taken out of the diagnosis.
    """

    schema_version: int = SCHEMA_VERSION
    host: str
    created: str
    source: str
    synthetic: bool = False
    redacted: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()
    rows: tuple[RowAnswers, ...] = ()


class FixPage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fix that can be asked for. codes: rules whose findings it answers. page: what it does."""

    fix: str
    title: str
    codes: tuple[str, ...]
    replaces: tuple[str, ...]
    page: str


def pages() -> tuple[FixPage, ...]:
    """Every fix that can be asked for, as `advisor whatif --list` shows them."""
    return tuple(
        FixPage(fix=f.slug, title=f.title, codes=f.codes, replaces=_rivals(f), page=f.page)
        for f in all_fixes()
    )


def _rivals(fix: Fix) -> tuple[str, ...]:
    return tuple(f.slug for f in all_fixes() if replaces(fix, f))


def answers(
    document: Diagnosis,
    fixes: Sequence[Fix] = (),
    keys: Sequence[str] | None = None,
    config: Config | None = None,
) -> Answers:
    """What each fix, or these together, would buy on the rows of these keys (None: all).

    Worked out anew from what the document was reached from. config: prices of other models. Raises
    ExclusiveFixesError for fixes of which one replaces another.
    """
    p = document.provenance
    verdicts = {verdict.key: verdict for verdict in document.verdicts}
    rows = []
    for case in cases(document, config):
        if keys is not None and case.evidence.key not in keys:
            continue
        found = (combined(case, fixes),) if fixes else what_ifs(case)
        rows.append(
            RowAnswers(
                key=case.evidence.key,
                gpu=case.evidence.gpu,
                mig=case.evidence.mig,
                headline=_headline(verdicts[case.evidence.key]),
                price_usd_h=case.ladder.price_usd_h,
                price_source=case.ladder.price_source,
                what_ifs=found,
            )
        )
    return Answers(
        host=p.host,
        created=p.created,
        source=p.source,
        synthetic=p.synthetic,
        redacted=p.redacted,
        fixes=tuple(fix.slug for fix in fixes),
        rows=tuple(rows),
    )


def _headline(verdict: Verdict) -> str:
    return verdict.headline or f"GPU {verdict.gpu} is {verdict.class_}-bound"
