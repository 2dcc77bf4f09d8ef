"""Where inputs come from: flag, diagnosis, environment, configuration, bundled table, default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from advisor.cli.costs.models import model_named, price_of
from advisor.cli.costs.options import SETTINGS
from advisor.config import LoadedConfig, env_name
from advisor.owned import OWNED
from advisor.price_table import Model
from rules.calculators.calculation import Input, Label, given
from rules.calculators.quantities import QUANTITIES

if TYPE_CHECKING:
    from advisor.cli.costs.observed import Seen
    from probes.specs import GpuSpec

# Why a default of the configuration is what it is.
WHY = {
    "electricity_usd_kwh": "a round figure, no tariff",
    "pue": "mean of data centres, Uptime Institute 2025",
    "life_y": "an assumption",
    "maintenance_frac_y": "an assumption",
    "staffing_usd_h": "none",
}
# Either one of a group's lines is meant, or another: what a flag gives leaves the others to flags as well.
ALTERNATIVES = (
    ("tok_s", "prompt_tok_s", "generation_tok_s"),
    ("tok_j", "tokens", "energy_j", "power_w", "window_s"),
    ("prefill_frac", "prefill_s", "decode_s"),
    ("attempts", "success_frac"),
    ("usd_per_mtok", "tok_s"),
    ("tok_j", "tok_s"),
)
_LABELS: dict[str, Label] = {
    "user": "flag",
    "environment": "environment",
    "config": "config",
    "bundled": "bundled",
    "instance": "bundled",
}


class Sources:
    """Inputs by name, each from the first place that knows it."""

    def __init__(
        self,
        flags: Mapping[str, float | None],
        models: Mapping[str, str | None],
        config: LoadedConfig,
        seen: Seen | None,
    ) -> None:
        self._flags = {name: value for name, value in flags.items() if value is not None}
        self._config, self._seen = config, seen
        texts = {"": models.get("model"), "other_": models.get("other_model")}
        self._named = {of: model_named(text) for of, text in texts.items() if text}
        self._seen_model = None if seen is None else seen.model
        self.notes: dict[str, list[str]] = {}

    @property
    def flags(self) -> tuple[str, ...]:
        """Names of the inputs that flags give."""
        return tuple(self._flags)

    @property
    def lacks(self) -> str:
        """Why a diagnosis that was named has no figures of tokens; empty where it has, or none was named."""
        return "" if self._seen is None else self._seen.lacks

    def flagged(self, *names: str) -> bool:
        """Whether a flag gives any of these."""
        return any(name in self._flags for name in names)

    def seen(self, *names: str) -> bool:
        """Whether the diagnosis holds all of these."""
        return self._seen is not None and all(name in self._seen.figures for name in names)

    def is_owned(self) -> bool:
        """Whether the price is what a purchase comes to, which owning is not to be held against."""
        price = self.find("price_usd_h")
        return price is not None and OWNED in price.source

    def find(self, name: str) -> Input | None:
        """The input, or None where nobody knows it."""
        if name in self._flags:
            return given(name, self._flags[name], "flag", QUANTITIES[name].flag)
        if name == "price_usd_h" and "" in self._named:
            return self._price(name, self._named[""])
        if self._seen is not None and name in self._seen.figures and not self._superseded(name):
            value, source = self._seen.figures[name]
            return given(name, value, "diagnosis", source)
        return self._setting(name) or self._bundled(name) or _default(name)

    def doubts(self, item: Input) -> tuple[str, ...]:
        """What speaks against taking this input for more than what the diagnosis saw."""
        if self._seen is None or item.label != "diagnosis":
            return ()
        return self._seen.doubts.get(item.name, ())

    def _superseded(self, name: str) -> bool:
        """Whether a flag gives another figure of the same thing."""
        return any(name in group and self.flagged(*group) for group in ALTERNATIVES)

    def _setting(self, name: str) -> Input | None:
        """From environment, file or default. A price has more places than its setting: see _bundled."""
        if name not in SETTINGS or name == "price_usd_h" or getattr(self._config, name) is None:
            return None
        origin = self._config.origins[name]
        value = getattr(self._config, name)
        if origin == "environment":
            return given(name, value, "environment", env_name(name))
        if origin == "config":
            return given(name, value, "config", f"{name} in {self._config.path}")
        return given(name, value, "default", WHY.get(name, ""))

    def _bundled(self, name: str) -> Input | None:
        """A price, or a figure of the data sheet."""
        other = name.startswith("other_")
        model = self._named.get("other_") if other else self._named.get("", self._seen_model)
        bare = name.removeprefix("other_")
        if bare == "price_usd_h":
            return None if other and model is None else self._price(name, model)
        if model is None or model.spec is None or name == "other_tflop_s":
            return None
        value = _sheet_figure(bare, model.spec)
        return None if value is None else given(name, value, "bundled", f"data sheet, {model.spec.model}")

    def _price(self, name: str, model: Model | None) -> Input | None:
        """By the configuration or the bundled table; a nameless model has a price where one is configured."""
        price = price_of(model or Model(name=""), self._config)
        if price.usd_h is None:
            return None
        self.notes[name] = [f"{name}: {note}." for note in price.notes]
        return given(name, price.usd_h, _LABELS.get(price.basis, "config"), price.source)


def _sheet_figure(name: str, spec: GpuSpec) -> float | None:
    if name == "bandwidth_gb_s":
        return spec.dram_bytes_s / 1e9
    if name == "memory_gb":
        return spec.memory_gb[0]
    rate = spec.flop_s.get("bf16") or spec.flop_s.get("fp16")
    return rate / 1e12 if name == "tflop_s" and rate else None


def _default(name: str) -> Input | None:
    quantity = QUANTITIES[name]
    return None if quantity.default is None else given(name, quantity.default, "default", quantity.why)
