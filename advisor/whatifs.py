"""What-ifs of a whole document: the cases in it, and the models of GPU that could be rented instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import msgspec

from advisor.config import Config
from advisor.document import Diagnosis, Observed
from advisor.price_table import Model, model_of
from advisor.prices import entry_price, listed_price
from probes.specs import GpuSpec, assumed_ceilings
from rules.finding import Price
from rules.servers import server_in
from rules.serving import ServingFigures
from rules.whatifs.answers import what_ifs
from rules.whatifs.cards import OWN_PRICES
from rules.whatifs.case import Candidate, Case, Replica

# What drivers call the models that the bundled table has on-demand prices of, and their memory in GB.
_RENTED: tuple[tuple[str, float], ...] = (
    ("Tesla T4", 16),
    ("NVIDIA A10G", 24),
    ("NVIDIA L4", 24),
    ("NVIDIA L40S", 48),
    ("NVIDIA A100-SXM4-40GB", 40),
    ("NVIDIA A100-SXM4-80GB", 80),
    ("NVIDIA H100 80GB HBM3", 80),
    ("NVIDIA H200", 141),
    ("NVIDIA B200", 192),
)


def with_what_ifs(document: Diagnosis, config: Config | None = None) -> Diagnosis:
    """The document with what fixes would buy on each of its rows; without `observed` as it is.

    config: prices of other models.
    """
    found = [one for case in cases(document, config) for one in what_ifs(case)]
    return msgspec.structs.replace(document, what_ifs=tuple(found))


def cases(document: Diagnosis, config: Config | None = None) -> tuple[Case, ...]:
    """A case for each row that the document keeps the origins of. config: prices of other models."""
    verdicts = {verdict.key: verdict for verdict in document.verdicts}
    rows = {(row.key, row.mig): row for row in document.ladder}
    made = []
    for seen in document.observed:
        row = rows.get((seen.key, seen.evidence.mig))
        if row is None or seen.key not in verdicts:
            continue
        made.append(
            Case(
                evidence=seen.evidence,
                verdict=verdicts[seen.key],
                ladder=row,
                price=seen.price,
                ceilings=seen.ceilings,
                findings=tuple(f for f in document.findings if f.key == seen.key),
                serving=_engine(document, seen),
                replicas=_replicas(document, seen),
                candidates=candidates(config, seen.ceilings.model if seen.ceilings else None, seen.price),
            )
        )
    return tuple(made)


def _engine(document: Diagnosis, seen: Observed) -> ServingFigures | None:
    """The engine on this row: what its evidence holds, else the one whose devices it is among."""
    return seen.evidence.serving or next((s for s in document.serving if seen.key in s.keys), None)


def _replicas(document: Diagnosis, seen: Observed) -> tuple[Replica, ...]:
    own = _serves(document, seen)
    if own is None:
        return ()
    others = [o for o in document.observed if o.key != seen.key and _serves(document, o) == own]
    return tuple(_replica(o, _engine(document, o)) for o in others)


def _serves(document: Diagnosis, seen: Observed) -> tuple[str, str, str] | None:
    """Engine, model and card of a server; rows that agree in all three are replicas of each other.

    An engine on several devices at once is one replica, so that its rows are none of each other.
    """
    engine, work = _engine(document, seen), seen.evidence.workload
    if engine is not None:
        alone = len(engine.keys) <= 1 and engine.model is not None
        return (engine.engine, engine.model or "", seen.evidence.device.name) if alone else None
    name = work.name if work is not None else ""
    program = seen.evidence.server or server_in(name)
    return (program, name, seen.evidence.device.name) if program else None


def _replica(seen: Observed, engine: ServingFigures | None) -> Replica:
    return Replica(
        key=seen.key,
        gpu=seen.evidence.gpu,
        running=engine.running if engine else None,
        waiting=engine.waiting if engine else None,
        kv_use_frac=engine.kv_use_frac if engine else None,
    )


def candidates(
    config: Config | None = None, own: str | None = None, price: Price | None = None
) -> tuple[Candidate, ...]:
    """Models that could be rented instead, with prices that go together, and what such cards reach.

    own: the model at hand, and price: what is paid for it. Where that is the user's own, others are those
    that the table [prices] of the configuration has; where it has none, and else, the bundled table's
    on-demand prices of one provider, `price_provider`.
    """
    config = config or Config()
    if price is not None and price.usd_h is not None and price.basis in OWN_PRICES and config.prices:
        found = _priced(lambda model: price if _is(model, own) else entry_price(model, config))
        if len(found) > 1 and any(one.model == own for one in found):
            return tuple(msgspec.structs.replace(one, configured=True) for one in found)
    return _listed(config.price_provider)


def _is(model: Model, name: str | None) -> bool:
    return model.spec is not None and model.spec.model == name


@cache
def _listed(provider: str) -> tuple[Candidate, ...]:
    return _priced(lambda model: listed_price(model, provider))


def _priced(price_of: Callable[[Model], Price | None]) -> tuple[Candidate, ...]:
    made = (_candidate(name, gb, price_of) for name, gb in _RENTED)
    return tuple(one for one in made if one is not None)


def _candidate(name: str, gb: float, price_of: Callable[[Model], Price | None]) -> Candidate | None:
    model = model_of(name, round(gb * 1e9))
    price = price_of(model)
    if model.spec is None or price is None or price.usd_h is None:
        return None
    reached = assumed_ceilings(model.spec).ceilings
    return Candidate(
        model=model.spec.model,
        memory_bytes=gb * 1e9,
        rates={limit.metric: limit.value for limit in reached},
        clock_sms=_clock_sms(model.spec),
        usd_h=price.usd_h,
        source=price.source,
    )


def _clock_sms(spec: GpuSpec) -> float | None:
    return spec.sm_count * spec.boost_mhz if spec.sm_count and spec.boost_mhz else None


def missing(document: Diagnosis, keys: Sequence[str]) -> str | None:
    """Why nothing can be worked out from a document, or None."""
    if not document.verdicts:
        return "it holds no GPU"
    if not document.observed:
        return "it was saved without `observed`, what its conclusions were reached from"
    if keys and not any(seen.key in keys for seen in document.observed):
        return "it keeps no origins of the GPU that was asked for"
    return None
