"""Check of what this node's GPUs cost, and whose figure that is."""

from __future__ import annotations

import os
from collections.abc import Mapping

from advisor.cli.checks.check import Check, ok, skip, warn
from advisor.cli.checks.nvml_look import NvmlLook
from advisor.config import Config, ConfigError, load
from advisor.price_list import Wanted
from advisor.prices import NodeFacts, candidates, in_force
from rules.finding import Price

ID = "prices.in_force"
FIX = "Set what you pay under [prices] or [node_prices] (`advisor config init`), or give --price USD_H."


def price_check(seen: NvmlLook, node: NodeFacts | None = None, env: Mapping[str, str] = os.environ) -> Check:
    """The price in force of each model: a list price of unknown age warns, as nobody here may pay it."""
    from advisor.cli.pricing import by_model, this_node

    models = by_model(device.info for device in seen.devices)
    if not models:
        return skip(ID, "no GPU to price")
    try:
        config = load({}, env)
        prices = [_price(one, config, env, node or this_node()) for one in models]
    except ConfigError as error:
        return skip(ID, f"not known while a setting is wrong: {error.problems[0]}")
    said = "; ".join(_words(one, price) for one, price in zip(models, prices, strict=True))
    given = all(price.basis in ("environment", "config") for price in prices)
    return ok(ID, said) if given else warn(ID, said, FIX)


def _price(one: Wanted, config: Config, env: Mapping[str, str], node: NodeFacts) -> Price:
    return in_force(candidates(one.model, env=env, config=config, node=node))


def _words(one: Wanted, price: Price) -> str:
    """ "H100 SXM5 80GB $6.88/h (bundled table: …)", with what weakens it."""
    if price.usd_h is None:
        return f"{one.model.title}: no price, so shares without dollars"
    notes = "".join(f"; {note}" for note in price.notes)
    basis = "" if price.basis in price.source else f"{price.basis}: "
    return f"{one.model.title} ${price.usd_h:,.2f}/h ({basis}{price.source}{notes})"
