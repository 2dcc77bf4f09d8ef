"""What a GPU costs an hour, and whose figure that is. Never a guess: an unknown model has no price.

Places are asked in one order: --price, ADVISOR_PRICE, the configuration (this node, this job, this model, the
default, what a purchase comes to), the row of the bundled table for the node's type of instance, the bundled
table's default for the model. The first that knows one sets the price.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping, Sequence
from statistics import median_low

import msgspec

from advisor.cloud import PROVIDERS
from advisor.config import Config, ConfigError, LoadedConfig
from advisor.owned import OWNED, origin_of, owned_usd_h
from advisor.price_table import Model, PriceRow, clean_rows, model_of
from advisor.reports.redact import host_hash
from advisor.telemetry.records import HostInfo
from probes.specs import bare_name
from rules.finding import Price

NO_PRICE = Price(usd_h=None, basis="none", source="no price known for this model; give --price USD_H")
ENTRY = "no entry for it"


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What of a node may set its prices.

    host: its pseudonym. names: its real names, where advisor runs on it; a recording has none.
    provider, instance: from DMI, where it says (advisor.cloud). partition: of Slurm, that advisor itself runs
    in. label: a person's word for the node.
    """

    host: str = ""
    names: tuple[str, ...] = ()
    provider: str | None = None
    instance: str | None = None
    instance_why: str = ""
    partition: str | None = None
    label: str = ""


def facts_of(host: HostInfo, names: Sequence[str] = ()) -> NodeFacts:
    """What a stream's header says of its node. names: the node's own, where advisor runs on it."""
    provider = host.provider if host.provider in PROVIDERS else None
    return NodeFacts(
        host=host.host,
        names=tuple(names),
        provider=provider,
        instance=host.instance,
        instance_why=host.missing.get("instance", ""),
        partition=host.partition,
        label=host.label or "",
    )


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One place that could have set the price. why: why it does not know one; empty where it does."""

    place: str
    price: Price | None = None
    why: str = ""


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU whose price is asked for, and whose settings answer. partition: of the job that runs on it."""

    model: Model
    config: Config
    node: NodeFacts
    partition: str | None


def price_for(
    driver_name: str,
    memory_total_bytes: int | None,
    *,
    flag: float | None = None,
    env: Mapping[str, str] | None = None,
    config: Config | None = None,
    node: NodeFacts | None = None,
    partition: str | None = None,
) -> Price:
    """The price of one whole GPU: that of the first place that knows one (see `candidates`).

    A MIG instance's name gives its whole GPU's price. Raises ConfigError for a flag or variable that is
    not an amount.
    """
    places = candidates(
        model_of(driver_name, memory_total_bytes),
        flag=flag,
        env=env,
        config=config,
        node=node,
        partition=partition,
    )
    return in_force(places)


def in_force(places: Sequence[Candidate]) -> Price:
    """The price that the first place sets that knows one; NO_PRICE where none does."""
    return next((place.price for place in places if place.price is not None), NO_PRICE)


def entry_price(model: Model, config: Config) -> Price | None:
    """What the table [prices] of the configuration says of a model, wherever such a card may be."""
    return _of_model(_Asked(model=model, config=config, node=NodeFacts(), partition=None)).price


def listed_price(model: Model, provider: str) -> Price | None:
    """What one provider's clean row of the bundled table says of a model; None where it has none."""
    wanted = provider.strip().lower()
    row = next(
        (r for r in clean_rows() if r.provider == wanted and r.accelerator in model.accelerators), None
    )
    return None if row is None else Price(usd_h=row.usd_h, basis="bundled", source=_named(row))


def candidates(
    model: Model,
    *,
    flag: float | None = None,
    env: Mapping[str, str] | None = None,
    config: Config | None = None,
    node: NodeFacts | None = None,
    partition: str | None = None,
) -> tuple[Candidate, ...]:
    """Every place that could set a GPU's price, in the order in which they are asked.

    partition: Slurm's, of the job on this GPU; else the node's counts. Raises ConfigError as `price_for`.
    """
    node = node or NodeFacts()
    asked = _Asked(
        model=model,
        config=config or Config(),
        node=node,
        partition=partition or node.partition,
    )
    return (
        _flag(flag, asked.config),
        _variable(env or {}, asked.config),
        _of_node(asked),
        _of_job(asked),
        _of_model(asked),
        _of_any_model(asked.config),
        _of_purchase(asked.config),
        _of_instance(asked),
        _of_table(asked),
    )


# --- given on purpose --------------------------------------------------------------------------------


def _flag(flag: float | None, config: Config) -> Candidate:
    if flag is None:
        flag = _from_origin(config, "flag")
    if flag is None:
        return Candidate(place="--price", why="not given")
    price = Price(usd_h=_amount("--price", flag), basis="user", source="--price")
    return Candidate(place="--price", price=price)


def _variable(env: Mapping[str, str], config: Config) -> Candidate:
    given = env.get("ADVISOR_PRICE") or _from_origin(config, "environment")
    if not given:
        return Candidate(place="ADVISOR_PRICE", why="not set")
    usd_h = _amount("ADVISOR_PRICE", given)
    price = Price(usd_h=usd_h, basis="environment", source="ADVISOR_PRICE")
    return Candidate(place="ADVISOR_PRICE", price=price)


def _from_origin(config: Config, origin: str) -> float | None:
    """A price that reached the configuration from a flag or a variable; it wins over entries of the file."""
    if not isinstance(config, LoadedConfig) or config.origins.get("price_usd_h") != origin:
        return None
    return config.price_usd_h


# --- the configuration -------------------------------------------------------------------------------


def _of_node(asked: _Asked) -> Candidate:
    """By the node's name. What is told of it is the pseudonym: an entry's text is part of a host name."""
    place, node, entries = "[node_prices]", asked.node, asked.config.node_prices
    entry = node_entry(entries, node)
    if entry is None:
        unseen = any(map(_is_pattern, entries)) and not node.names
        hidden = "; of a recorded node no name is known, so patterns cannot match"
        return Candidate(place=place, why=(ENTRY if entries else "empty") + (hidden if unseen else ""))
    how = ", by a pattern" if _is_pattern(entry) else ""
    source = f"[node_prices] entry for {node.host or 'this node'}{how}, in {_where(asked.config)}"
    return Candidate(place=place, price=_configured(entries[entry], source))


def node_entry(entries: Mapping[str, float], node: NodeFacts) -> str | None:
    """The entry that names the node: by its name, whole or before the first dot, by its pseudonym, or by the
    pattern with the most letters. A whole name is found in a recording too, since its pseudonym is the same.
    """
    names = {name.lower() for full in node.names for name in (full, full.partition(".")[0]) if name}
    names |= {node.host} if node.host else set()
    exact = [entry for entry in entries if entry.lower() in names or host_hash(entry) == node.host]
    if exact:
        return exact[0]
    fits = [e for e in entries if any(fnmatch.fnmatchcase(name, e.lower()) for name in names)]
    return max(fits, key=lambda entry: sum(c not in "*?[]" for c in entry), default=None)


def _is_pattern(entry: str) -> bool:
    return any(c in entry for c in "*?[")


def _of_job(asked: _Asked) -> Candidate:
    """By the partition of the job on the GPU, else by the node's label."""
    place, entries = "[job_prices]", asked.config.job_prices
    words = [("partition", asked.partition), ("label", _label(asked))]
    keys = [f"{kind}:{word}" for kind, word in words if word]
    hit = next((key for key in keys if key in entries), None)
    if hit is None:
        return Candidate(place=place, why=_lacks(keys) if keys else "no partition or label is known")
    source = f'[job_prices] "{hit}" in {_where(asked.config)}'
    return Candidate(place=place, price=_configured(entries[hit], source))


def _label(asked: _Asked) -> str:
    """What was said on purpose, else the watched node's own, which need not be the one that replays it."""
    own = asked.config.label
    return own if origin_of(asked.config, "label") in ("flag", "environment") else asked.node.label or own


def _lacks(keys: Sequence[str]) -> str:
    return "no entry " + " or ".join(f'"{key}"' for key in keys)


def _of_model(asked: _Asked) -> Candidate:
    """By driver name, by model, by short name."""
    name, spec, entries = asked.model.name, asked.model.spec, asked.config.prices
    named = {" ".join(entry.lower().split()): entry for entry in entries}
    keys = [" ".join(name.lower().split()), bare_name(name)[0]]
    keys += [spec.model.lower(), spec.gpu.lower()] if spec else []
    hit = next((named[key] for key in keys if key in named), None)
    if hit is None:
        return Candidate(place="[prices]", why=ENTRY if entries else "empty")
    source = f'[prices] "{hit}" in {_where(asked.config)}'
    return Candidate(place="[prices]", price=_configured(entries[hit], source))


def _of_any_model(config: Config) -> Candidate:
    if config.price_usd_h is None:
        return Candidate(place="price_usd_h", why="not set")
    price = _configured(config.price_usd_h, f"price_usd_h in {_where(config)}")
    return Candidate(place="price_usd_h", price=price)


def _of_purchase(config: Config) -> Candidate:
    price = owned_usd_h(config)
    return Candidate(place=OWNED, price=price, why="" if price else "capex_usd_per_gpu is not set")


def _configured(usd_h: float, source: str) -> Price:
    return Price(usd_h=usd_h, basis="config", source=source)


def _where(config: Config) -> str:
    return (config.path if isinstance(config, LoadedConfig) else "") or "config.toml"


# --- the bundled table -------------------------------------------------------------------------------


def _of_instance(asked: _Asked) -> Candidate:
    """The row of the very instance type that the node's firmware names."""
    place, node = "instance type", asked.node
    if node.instance is None:
        return Candidate(place=place, why=node.instance_why or "not known")
    rows = [row for row in _rows(asked) if (row.provider, row.instance) == (node.provider, node.instance)]
    if not rows:
        return Candidate(place=place, why=f"{node.provider} {node.instance} has no clean row for this GPU")
    row = _median(rows)
    source = f"instance type by DMI: {_named(row)}"
    notes = (f"the node's region is not known; the row is of {row.region}", *_age_notes(row))
    return Candidate(place=place, price=Price(usd_h=row.usd_h, basis="instance", source=source, notes=notes))


def _of_table(asked: _Asked) -> Candidate:
    """The preferred provider's row, else the median of all. Rows that a flag spoils are none."""
    rows = _rows(asked)
    if not rows:
        why = "its rows are all flagged" if asked.model.accelerators else "no row for this model"
        return Candidate(place="bundled table", why=why)
    provider = asked.config.price_provider.strip().lower()
    own = [row for row in rows if row.provider == provider]
    fresh = [row for row in rows if "old" not in row.flags] or rows
    row = own[0] if own else _median(fresh)
    how = "" if own or len(fresh) == 1 else f", median of {len(fresh)} rows"
    notes = (*_provider_notes(asked, row), *_span(rows), *_age_notes(row))
    price = Price(usd_h=row.usd_h, basis="bundled", source=f"bundled table: {_named(row)}{how}", notes=notes)
    return Candidate(place="bundled table", price=price)


def _rows(asked: _Asked) -> list[PriceRow]:
    """Rows for this model whose on-demand figure nothing spoils."""
    names = asked.model.accelerators
    return [row for row in clean_rows() if row.accelerator in names]


def _median(rows: Sequence[PriceRow]) -> PriceRow:
    """The row at the median, the lower of two, so that the price is one somebody asks."""
    middle = median_low(row.usd_h for row in rows)
    return next(row for row in rows if row.usd_h == middle)


def _named(row: PriceRow) -> str:
    share = f" / {row.gpu_count}" if row.gpu_count > 1 else ""
    date = "catalog date unknown" if row.date == "unknown" else row.date
    return f"{row.provider} {row.instance} on-demand{share}, {row.region}, {date}, commit {row.commit[:7]}"


def _provider_notes(asked: _Asked, row: PriceRow) -> tuple[str, ...]:
    """A node on one cloud is not billed by another; and a provider that was asked for may have no row."""
    wanted, here = asked.config.price_provider, asked.node.provider
    notes = [] if row.provider == wanted.strip().lower() else [f"{wanted} has no clean row for this model"]
    if here is not None and here != row.provider:
        notes.append(f"this node is on {here} by its DMI, the price is {row.provider}'s")
    return tuple(notes)


def _span(rows: Sequence[PriceRow]) -> tuple[str, ...]:
    low, high = min(r.usd_h for r in rows), max(r.usd_h for r in rows)
    return () if low == high else (f"on-demand rows for this model span ${low:.2f} to ${high:.2f}",)


def _age_notes(row: PriceRow) -> tuple[str, ...]:
    old = ("the row is older than others of the table",) if "old" in row.flags else ()
    return (*old, *(("the catalogue's date is not known",) if "date-unknown" in row.flags else ()))


def _amount(where: str, given: float | str) -> float:
    """Dollars per hour, or ConfigError."""
    try:
        amount = float(given)
    except ValueError:
        amount = math.nan
    if not 0 < amount <= 10_000:
        expected = "expected dollars per GPU and hour, above 0 and at most 10000"
        raise ConfigError([f"{where} = {given!r}: {expected}"])
    return amount
