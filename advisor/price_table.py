"""The bundled table of prices, and what speaks against each of its figures.

A figure is judged by the figures beside it wherever that is possible: a catalogue's own mistakes are found
again when the table is renewed. Where only the catalogue's reader could see it, the row's note says so.
"""

from __future__ import annotations

import csv
import datetime
import io
import re
from collections.abc import Sequence
from functools import cache
from typing import Literal

import msgspec

from probes.specs import GpuSpec, all_specs, bare_name, find_spec

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
    ("MI300X", "OAM"): ("MI300X",),
}
# Priced models without a data sheet in the spec table, by bare driver name.
_NAMES: dict[str, tuple[str, ...]] = {"rtx a6000": ("RTXA6000",), "t4g": ("T4g",)}

Code = Literal[
    "spot-above-on-demand",
    "commitment-looking",
    "gpu-only",
    "secondary",
    "spot-floor",
    "spot-equals-on-demand",
    "old",
    "date-unknown",
]
Spoils = Literal["on-demand", "spot", "both", "neither"]

MEANINGS: dict[Code, tuple[Spoils, str]] = {
    "spot-above-on-demand": (
        "both",
        "spot costs more than on-demand, so one of them is another kind of price",
    ),
    "commitment-looking": ("both", "on-demand looks like a price for a commitment of years"),
    "gpu-only": ("both", "the host is billed on top"),
    "secondary": ("both", "quoted from elsewhere; the catalogue's own row was not read"),
    "spot-floor": ("spot", "spot is about 10 % of on-demand, a floor at which capacity is doubtful"),
    "spot-equals-on-demand": ("spot", "spot is listed at the on-demand price, which forecasts nothing"),
    "old": ("neither", "older than other rows of the table, or than a year"),
    "date-unknown": ("neither", "the catalogue's date is not known"),
}

# A spot price this near to a tenth of on-demand is AWS's floor (p6-b200: 11.3933 of 113.9328 dollars).
_FLOOR_LOW, _FLOOR_HIGH = 0.095, 0.105
# On-demand differs between regions by tens of percent; half of the same instance's price is another tariff.
_OTHER_TARIFF = 0.6
OLD_DAYS = 365
_PARTS = re.compile(r"GPU spot (\d+(?:\.\d+)?) > on-demand (\d+(?:\.\d+)?)")
_CATALOGUE = re.compile(r"catalogs/v(\d{1,3})/")


class PriceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One offer of the bundled table, dollars per GPU and hour.

    usd_h: on demand; spot_usd_h: None where none was read. host_included: False where the machine around the
    GPU is billed on top. date: ISO 8601 or "unknown". commit: of the catalogue that it was read from.
    """

    accelerator: str
    provider: str
    instance: str
    gpu_count: int
    usd_h: float
    spot_usd_h: float | None = None
    region: str
    host_included: bool
    date: str
    commit: str
    source: str = ""
    note: str = ""

    @property
    def flags(self) -> tuple[Code, ...]:
        """What speaks against its figures, as far as the bundled table tells. See MEANINGS."""
        return flags_of(self, bundled_rows())

    @property
    def clean(self) -> bool:
        """True when its on-demand figure may set a price: no flag spoils it."""
        return not spoiled(self.flags, "on-demand")


@cache
def bundled_rows() -> tuple[PriceRow, ...]:
    """Every row of the bundled table, in order. Read once."""
    from importlib.resources import files

    text = files("advisor.data").joinpath("gpu_prices.csv").read_text(encoding="utf-8")
    return tuple(_row(row) for row in csv.DictReader(io.StringIO(text)))


@cache
def clean_rows() -> tuple[PriceRow, ...]:
    """The rows of the bundled table that may set a price: each is held against the whole table, once."""
    return tuple(row for row in bundled_rows() if row.clean)


def flags_of(row: PriceRow, rows: Sequence[PriceRow], today: datetime.date | None = None) -> tuple[Code, ...]:
    """What speaks against a row's figures, in the order of MEANINGS. rows: the table it stands in.

    today: for its age; None leaves the calendar out.
    """
    found = {
        "spot-above-on-demand": _spot_above(row),
        "commitment-looking": _looks_committed(row, rows),
        "gpu-only": not row.host_included,
        "secondary": row.note.startswith("SECONDARY"),
        "spot-floor": _at_floor(row),
        "spot-equals-on-demand": _spot_equal(row),
        "old": _is_old(row, rows, today),
        "date-unknown": _dated(row) is None,
    }
    return tuple(code for code in MEANINGS if found[code])


def spoiled(flags: Sequence[Code], figure: Literal["on-demand", "spot"]) -> bool:
    """Whether any of the flags keeps a figure from being anybody's price unasked."""
    return any(MEANINGS[code][0] in (figure, "both") for code in flags)


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU model as its price is looked up. accelerators: the table's names for it, if it has any."""

    name: str
    spec: GpuSpec | None = None
    accelerators: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What people call it: one name for all that drivers call it."""
        same = (m.name for m in all_models() if m.spec == self.spec and m.accelerators == self.accelerators)
        return next(same, self.name) if self.spec or self.accelerators else self.name


def model_of(driver_name: str, memory_total_bytes: int | None = None) -> Model:
    """The model that the driver calls so. A MIG instance's name gives its whole GPU's."""
    spec = find_spec(driver_name, memory_total_bytes)
    return Model(name=driver_name, spec=spec, accelerators=_accelerators(bare_name(driver_name)[0], spec))


def _accelerators(name: str, spec: GpuSpec | None) -> tuple[str, ...]:
    if spec is None:
        return _NAMES.get(name, ())
    if (spec.gpu, spec.variant) == ("V100", "SXM2 16/32GB"):
        return ("V100-32GB",) if name.endswith("32gb") else ("V100-16GB",)
    return _ACCELERATORS.get((spec.gpu, spec.variant), ())


@cache
def all_models() -> tuple[Model, ...]:
    """Every model with a data sheet or a price, each under one name."""
    known = [
        Model(name=_called(spec, names), spec=spec, accelerators=names)
        for spec in all_specs()
        for names in _names_of(spec)
    ]
    priced = {name for model in known for name in model.accelerators}
    rest = dict.fromkeys(row.accelerator for row in bundled_rows() if row.accelerator not in priced)
    return (*known, *(Model(name=name, accelerators=(name,)) for name in rest))


def _names_of(spec: GpuSpec) -> tuple[tuple[str, ...], ...]:
    """One data sheet may be of two cards that are priced apart."""
    if (spec.gpu, spec.variant) == ("V100", "SXM2 16/32GB"):
        return ("V100-16GB",), ("V100-32GB",)
    return (_ACCELERATORS.get((spec.gpu, spec.variant), ()),)


def _called(spec: GpuSpec, names: tuple[str, ...]) -> str:
    return spec.model.replace("16/32GB", names[0][-4:]) if names and "16/32GB" in spec.variant else spec.model


def find_models(text: str) -> tuple[Model, ...]:
    """Models that a person may mean: the one the driver calls so, else those whose names hold every word."""
    model = model_of(text)
    if model.spec is not None or model.accelerators:
        return (model,)
    words = _words(text)
    named = tuple(m for m in all_models() if words in map(_words, m.accelerators))
    return named or tuple(m for m in all_models() if words and _holds(m, words))


def _holds(model: Model, words: frozenset[str]) -> bool:
    """Whether each word ends a word of the model's names: the A6000 is written RTXA6000 as well."""
    known = _words(" ".join((model.name, *model.accelerators)))
    return all(any(one.endswith(word) for one in known) for word in words)


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z0-9]+", bare_name(text)[0]))


def _spot_above(row: PriceRow) -> bool:
    """By the row's figures, or by those of the GPU alone where the row's contain a host's."""
    parts = _PARTS.search(row.note)
    if parts is not None and float(parts[1]) > float(parts[2]):
        return True
    return row.spot_usd_h is not None and row.spot_usd_h > row.usd_h


def _looks_committed(row: PriceRow, rows: Sequence[PriceRow]) -> bool:
    """Little more than half of what the same instance costs in another region, or noted as such."""
    same = [r.usd_h for r in rows if (r.provider, r.instance) == (row.provider, row.instance)]
    return row.usd_h < _OTHER_TARIFF * max(same, default=0.0) or "commitment price" in row.note


def _at_floor(row: PriceRow) -> bool:
    return row.spot_usd_h is not None and _FLOOR_LOW <= row.spot_usd_h / row.usd_h <= _FLOOR_HIGH


def _spot_equal(row: PriceRow) -> bool:
    return row.spot_usd_h == row.usd_h or "SpotPrice = Price" in row.note


def _is_old(row: PriceRow, rows: Sequence[PriceRow], today: datetime.date | None) -> bool:
    """Of an earlier version of the catalogue than others, or more than a year before `today`."""
    dated = _dated(row)
    if today is not None and dated is not None and (today - dated).days > OLD_DAYS:
        return True
    return _version(row) < max(map(_version, rows), default=0)


def _version(row: PriceRow) -> int:
    found = _CATALOGUE.match(row.source)
    return int(found[1]) if found else 0


def _dated(row: PriceRow) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(row.date)
    except ValueError:
        return None


def _row(row: dict[str, str]) -> PriceRow:
    spot = row["spot_usd_per_gpu_hour"]
    return PriceRow(
        accelerator=row["accelerator"],
        provider=row["provider"],
        instance=row["instance"],
        gpu_count=int(row["gpu_count"]),
        usd_h=float(row["ondemand_usd_per_gpu_hour"]),
        spot_usd_h=float(spot) if spot else None,
        region=row["region"],
        host_included=row["host_included"] == "incl",
        date=row["catalog_date"],
        commit=row["catalog_commit"],
        source=row["source_path"],
        note=row["note"],
    )
