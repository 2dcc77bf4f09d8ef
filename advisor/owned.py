"""Costs of one's own GPUs, from the configuration: a price with its formula spelled out, and electricity."""

from __future__ import annotations

from advisor.config import Config, LoadedConfig
from rules.finding import Price
from rules.ownership import OwnershipInputs, owned_cost
from rules.power import ElectricityRates

# How the source of a price begins that a purchase comes to.
OWNED = "cost of ownership"


def ownership_inputs(config: Config) -> OwnershipInputs | None:
    """The settings that a GPU's cost of ownership is made from; None where no purchase price is set."""
    if config.capex_usd_per_gpu is None:
        return None
    names = OwnershipInputs.__struct_fields__
    return OwnershipInputs(**{name: getattr(config, name) for name in names})


def electricity_rates(config: Config) -> ElectricityRates:
    """What electricity costs here, each figure with where it came from."""
    return ElectricityRates(
        usd_kwh=config.electricity_usd_kwh,
        pue=config.pue,
        usd_kwh_label=origin_of(config, "electricity_usd_kwh"),
        pue_label=origin_of(config, "pue"),
    )


def owned_usd_h(config: Config) -> Price | None:
    """What an hour of an owned GPU costs, used or not; None where no purchase price is set.

    The source spells the formula of `rules.ownership`, with a star at every figure that nobody set. A lower
    bound where the power of a GPU is not set, as a note then says.
    """
    inputs = ownership_inputs(config)
    if inputs is None:
        return None
    cost = owned_cost(inputs)
    return Price(
        usd_h=cost.total_usd_h, basis="config", source=_spelled(inputs, config), notes=_owned_notes(inputs)
    )


def _spelled(given: OwnershipInputs, config: Config) -> str:
    def said(name: str, text: str) -> str:
        return text + ("*" if origin_of(config, name) == "default" else "")

    parts = [f"${given.capex_usd_per_gpu:,.0f} / {said('life_y', f'{given.life_y:g} y')}"]
    parts.append(said("maintenance_frac_y", f"{100 * given.maintenance_frac_y:g} % of it a year"))
    if given.kw_per_gpu is not None:
        site = said("pue", f"PUE {given.pue:g}")
        rate = said("electricity_usd_kwh", f"{_usd(given.electricity_usd_kwh)}/kWh")
        parts.append(f"{given.kw_per_gpu:g} kW x {site} x {rate}")
    parts.append(said("staffing_usd_h", f"staff {_usd(given.staffing_usd_h)}/h"))
    sum_ = " + ".join(parts)
    return f"{OWNED}: {sum_}{'; * default' if '*' in sum_ else ''}"


def _usd(figure: float) -> str:
    """Cents, or more digits where the figure has more."""
    return f"${figure:.2f}" if round(figure, 2) == figure else f"${figure:g}"


def _owned_notes(given: OwnershipInputs) -> tuple[str, ...]:
    used = owned_cost(given).used_usd_h
    notes = []
    if given.kw_per_gpu is None:
        notes.append("a lower bound: electricity is not in it, as kw_per_gpu is not set")
    if used is not None:
        share = f"{given.utilisation_frac or 0.0:.0%}".replace("%", " %")
        notes.append(f"${used:.2f} for an hour in use at {share}; idle hours are counted on their own")
    return tuple(notes)


def origin_of(config: Config, setting: str) -> str:
    """Where a setting's value came from: "flag", "environment", "config" or "default"."""
    if isinstance(config, LoadedConfig):
        return config.origins.get(setting, "default")
    return "default" if getattr(config, setting) == getattr(Config(), setting) else "config"
