"""The price list: the bundled table with what speaks against each figure, and which price is in force."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

import msgspec

from advisor.config import Config
from advisor.price_entries import entry_warnings
from advisor.price_table import MEANINGS, Code, Model, PriceRow, bundled_rows, flags_of, spoiled
from advisor.prices import Candidate, NodeFacts, candidates, in_force
from rules.finding import Price

SCHEMA_VERSION = 1


class Offer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of the table, dollars per GPU and hour, with stable codes of what speaks against it.

    usable: the figures ("on-demand", "spot") that no flag spoils. A flagged figure is never a default.
    host_included: False where the machine around the GPU is billed on top. date: ISO 8601 or "unknown".
    commit, source: where of which catalogue it was read.
    """

    accelerator: str
    provider: str
    instance: str
    region: str
    gpu_count: int
    on_demand_usd_h: float
    spot_usd_h: float | None
    host_included: bool
    date: str
    commit: str
    source: str
    note: str
    flags: tuple[str, ...]
    usable: tuple[str, ...]


class ModelPrice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The price in force for a model, and what every place answered, in the order they were asked.

    gpus: NVML indices on this node, empty for a model that was asked for by name.
    """

    model: str
    gpus: tuple[int, ...]
    price: Price
    asked: tuple[Candidate, ...]


class PriceList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `advisor prices` prints.

    models: prices in force. flags: code -> its meaning, of those that occur. provider, instance: of this node
    by its firmware; instance_unknown says why there is no type. warnings: what to know before relying on it.
    """

    schema_version: int = SCHEMA_VERSION
    rows: tuple[Offer, ...]
    models: tuple[ModelPrice, ...]
    flags: dict[str, str]
    provider: str | None = None
    instance: str | None = None
    instance_unknown: str = ""
    warnings: tuple[str, ...] = ()


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A model whose price is asked for, and the GPUs of this node that are one."""

    model: Model
    gpus: tuple[int, ...] = ()


def price_list(
    rows: Sequence[PriceRow],
    wanted: Sequence[Wanted],
    config: Config,
    env: Mapping[str, str],
    node: NodeFacts,
    today: datetime.date,
) -> PriceList:
    """The list of these rows, and the prices in force. Raises ConfigError for a wrong ADVISOR_PRICE."""
    offers = tuple(offer(row, today) for row in rows)
    found = {code for one in offers for code in one.flags}
    return PriceList(
        rows=offers,
        models=tuple(_in_force(one, config, env, node) for one in wanted),
        flags={code: meaning for code, (_, meaning) in MEANINGS.items() if code in found},
        provider=node.provider,
        instance=node.instance,
        instance_unknown=node.instance_why,
        warnings=(*entry_warnings(config.prices, [one.model.name for one in wanted]), *_warnings(offers)),
    )


def offer(row: PriceRow, today: datetime.date) -> Offer:
    """One row as it is listed."""
    flags = flags_of(row, bundled_rows(), today)
    return Offer(
        accelerator=row.accelerator,
        provider=row.provider,
        instance=row.instance,
        region=row.region,
        gpu_count=row.gpu_count,
        on_demand_usd_h=row.usd_h,
        spot_usd_h=row.spot_usd_h,
        host_included=row.host_included,
        date=row.date,
        commit=row.commit,
        source=row.source,
        note=row.note,
        flags=flags,
        usable=_usable(row, flags),
    )


def _usable(row: PriceRow, flags: Sequence[Code]) -> tuple[str, ...]:
    spot = row.spot_usd_h is not None and not spoiled(flags, "spot")
    return (() if spoiled(flags, "on-demand") else ("on-demand",)) + (("spot",) if spot else ())


def _in_force(one: Wanted, config: Config, env: Mapping[str, str], node: NodeFacts) -> ModelPrice:
    asked = candidates(one.model, env=env, config=config, node=node)
    return ModelPrice(model=one.model.title, gpus=one.gpus, price=in_force(asked), asked=asked)


def _warnings(offers: Sequence[Offer]) -> list[str]:
    undated = sum("date-unknown" in one.flags for one in offers)
    if not undated:
        return []
    which = "every row" if undated == len(offers) else f"{undated} of {len(offers)} rows"
    return [f"the catalogue's date is not known for {which}: check a figure with its provider before use"]
