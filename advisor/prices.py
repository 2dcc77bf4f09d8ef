"""What a GPU costs an hour, and whose figure that is. Never a guess: an unknown model has no price."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from functools import cache
from statistics import median_low

import msgspec

from advisor.config import Config, ConfigError, LoadedConfig
from probes.specs import GpuSpec, bare_name, find_spec
from rules.finding import Price

DEFAULT_PROVIDER = "aws"
NO_PRICE = Price(usd_h=None, basis="none", source="no price known for this model; give --price USD_H")

# (gpu, variant) of the spec table -> names in the price table. Only boards the rows are for: the H100
# rows are SXM instances, so an H100 PCIe or NVL has none.
_ACCELERATORS: dict[tuple[str, str], tuple[str, ...]] = {
    ("T4", "PCIe"): ("T4",),
    ("A10", "PCIe"): ("A10",),
    ("A10G", "AWS"): ("A10G",),
    ("A100", "PCIe 80GB"): ("A100-80GB-PCIe",),
    ("A100", "SXM4 40GB"): ("A100-40GB",),
    ("A100", "SXM4 80GB"): ("A100-80GB", "A100-80GB-SXM"),
    ("L4", "PCIe"): ("L4",),
    ("L40S", "PCIe"): ("L40S",),
    ("RTX 3090", "GeForce"): ("RTX3090",),
    ("RTX 4090", "GeForce"): ("RTX4090",),
    ("RTX 6000 Ada", "PCIe"): ("RTX6000-Ada",),
    ("H100", "SXM5 80GB"): ("H100-80GB",),
    ("H200", "SXM 141GB"): ("H200-141GB",),
    ("B200", "SXM (HGX)"): ("B200",),
    ("B300", "SXM (HGX)"): ("B300",),
}
# Priced models without a data sheet in the spec table, by bare driver name.
_NAMES: dict[str, tuple[str, ...]] = {"rtx a6000": ("RTXA6000",), "t4g": ("T4g",)}
_DIRTY = ("ANOMALY", "SECONDARY")


class PriceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One on-demand offer of the bundled table, dollars per GPU and hour."""

    accelerator: str
    provider: str
    instance: str
    gpu_count: int
    usd_h: float
    region: str
    host_included: bool
    date: str
    commit: str
    note: str

    @property
    def clean(self) -> bool:
        """True when the row may set a price: host included, and nothing known against it."""
        return self.host_included and not self.note.startswith(_DIRTY)


@cache
def bundled_rows() -> tuple[PriceRow, ...]:
    """Every row of the bundled table, in order. Read once."""
    from importlib.resources import files

    text = files("advisor.data").joinpath("gpu_prices.csv").read_text(encoding="utf-8")
    return tuple(_row(row) for row in csv.DictReader(io.StringIO(text)))


def price_for(
    driver_name: str,
    memory_total_bytes: int | None,
    *,
    flag: float | None = None,
    env: Mapping[str, str] | None = None,
    config: Config | None = None,
) -> Price:
    """The price of one whole GPU: --price, else ADVISOR_PRICE, else config.toml, else the bundled table.

    A MIG instance's name gives its whole GPU's price. Raises ConfigError for a flag or variable that is
    not an amount.
    """
    if flag is not None:
        return Price(usd_h=_amount("--price", flag), basis="user", source="--price")
    text = (env or {}).get("ADVISOR_PRICE")
    if text:
        return Price(usd_h=_amount("ADVISOR_PRICE", text), basis="environment", source="ADVISOR_PRICE")
    spec = find_spec(driver_name, memory_total_bytes)
    return _given(config) or _configured(driver_name, spec, config) or _bundled(driver_name, spec)


def _given(config: Config | None) -> Price | None:
    """A flag or variable that reached the configuration; it wins over every entry of the file."""
    if not isinstance(config, LoadedConfig) or config.price_usd_h is None:
        return None
    origin = config.origins.get("price_usd_h")
    if origin == "flag":
        return Price(usd_h=config.price_usd_h, basis="user", source="--price")
    if origin == "environment":
        return Price(usd_h=config.price_usd_h, basis="environment", source="ADVISOR_PRICE")
    return None


def _configured(driver_name: str, spec: GpuSpec | None, config: Config | None) -> Price | None:
    """From [prices] by driver name, by model, by short name; else the default for all models."""
    if config is None:
        return None
    named = {name.strip().lower(): name for name in config.prices}
    keys = [" ".join(driver_name.lower().split()), bare_name(driver_name)[0]]
    keys += [spec.model.lower(), spec.gpu.lower()] if spec else []
    hit = next((named[key] for key in keys if key in named), None)
    where = (config.path if isinstance(config, LoadedConfig) else "") or "config.toml"
    if hit is not None:
        return Price(usd_h=config.prices[hit], basis="config", source=f'[prices] "{hit}" in {where}')
    if config.price_usd_h is None:
        return None
    return Price(usd_h=config.price_usd_h, basis="config", source=f"price_usd_h in {where}")


def _bundled(driver_name: str, spec: GpuSpec | None) -> Price:
    names = _accelerators(driver_name, spec)
    rows = [row for row in bundled_rows() if row.accelerator in names and row.clean]
    if not rows:
        return NO_PRICE
    own = [row for row in rows if row.provider == DEFAULT_PROVIDER]
    row = own[0] if own else _median(rows)
    how = "" if own or len(rows) == 1 else f", median of {len(rows)} rows"
    return Price(
        usd_h=row.usd_h, basis="bundled", source=f"bundled table: {_named(row)}{how}", notes=_notes(rows)
    )


def _accelerators(driver_name: str, spec: GpuSpec | None) -> tuple[str, ...]:
    name = bare_name(driver_name)[0]
    if spec is None:
        return _NAMES.get(name, ())
    if (spec.gpu, spec.variant) == ("V100", "SXM2 16/32GB"):
        return ("V100-32GB",) if name.endswith("32gb") else ("V100-16GB",)
    return _ACCELERATORS.get((spec.gpu, spec.variant), ())


def _median(rows: list[PriceRow]) -> PriceRow:
    """The row at the median, the lower of two, so that the price is one somebody asks."""
    middle = median_low(row.usd_h for row in rows)
    return next(row for row in rows if row.usd_h == middle)


def _named(row: PriceRow) -> str:
    share = f" / {row.gpu_count}" if row.gpu_count > 1 else ""
    date = "catalog date unknown" if row.date == "unknown" else row.date
    return f"{row.provider} {row.instance} on-demand{share}, {row.region}, {date}, commit {row.commit[:7]}"


def _notes(rows: list[PriceRow]) -> tuple[str, ...]:
    low, high = min(r.usd_h for r in rows), max(r.usd_h for r in rows)
    if low == high:
        return ()
    return (f"on-demand rows for this model span ${low:.2f} to ${high:.2f}",)


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


def _row(row: dict[str, str]) -> PriceRow:
    return PriceRow(
        accelerator=row["accelerator"],
        provider=row["provider"],
        instance=row["instance"],
        gpu_count=int(row["gpu_count"]),
        usd_h=float(row["ondemand_usd_per_gpu_hour"]),
        region=row["region"],
        host_included=row["host_included"] == "incl",
        date=row["catalog_date"],
        commit=row["catalog_commit"],
        note=row["note"],
    )
