"""What bundled tables know of a GPU that a person names: its data sheet and what it rents for."""

from __future__ import annotations

import difflib

from advisor.cli.diagnostics import CliError
from advisor.config import Config
from advisor.price_table import Model, PriceRow, all_models, clean_rows, find_models
from advisor.prices import candidates, in_force
from rules.calculators.calculation import Input
from rules.calculators.ranking import Offer
from rules.finding import Price


def model_named(text: str) -> Model:
    """The one model that a person means. CliError names the others where several may be meant."""
    found = find_models(text)
    exact = [model for model in found if model.name.lower() == " ".join(text.lower().split())]
    if len(exact or found) == 1:
        return (exact or list(found))[0]
    if found:
        names = " or ".join(f'"{model.name}"' for model in found[:6])
        raise CliError(f"{text!r} may be {len(found)} models", f"say {names}")
    known = {model.name.lower(): model.name for model in all_models()}
    near = difflib.get_close_matches(text.lower(), known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(known[name] for name in near)}?" if near else "see `advisor prices`"
    raise CliError(f"no model {text!r} is known", hint)


def price_of(model: Model, config: Config) -> Price:
    """What an hour of that model costs: by the configuration, or the bundled table."""
    return in_force(candidates(model, config=config))


def offers(provider: str) -> list[Offer]:
    """Every model with a data sheet that the provider rents out, at its lowest price that no flag spoils."""
    rows = [row for row in clean_rows() if row.provider == provider]
    found = []
    for model in all_models():
        own = [row for row in rows if row.accelerator in model.accelerators]
        if model.spec is not None and own:
            row = min(own, key=lambda row: row.usd_h)
            found.append(_offer(model.name, model.spec.dram_bytes_s / 1e9, row))
    return found


def _offer(name: str, bandwidth_gb_s: float, row: PriceRow) -> Offer:
    where = f"{row.provider} {row.instance}, {row.region}, date {row.date}, commit {row.commit[:7]}"
    return Offer(
        model=name,
        bandwidth_gb_s=Input(
            name=f"bandwidth_gb_s of {name}",
            value=bandwidth_gb_s,
            unit="GB/s",
            meaning="memory bandwidth",
            label="bundled",
            source=f"data sheet, {name}",
        ),
        price_usd_h=Input(
            name=f"price_usd_h of {name}",
            value=row.usd_h,
            unit="$/h",
            meaning="price of one GPU for an hour",
            label="bundled",
            source=where,
        ),
    )
