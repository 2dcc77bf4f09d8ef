"""Every quantity that a calculator takes: its unit, its meaning, what it may be, and its default.

Names hold their units. A quantity without a default must be given by somebody, or its formula is not worked
out. Defaults that are settings (see `advisor config`) are not repeated here.
"""

from __future__ import annotations

from typing import NamedTuple

# Outside of these no figure of a data centre was meant, and arithmetic would overflow.
SMALLEST, LARGEST = 1e-12, 1e15
MAX_GPUS = 1e7


class Quantity(NamedTuple):
    """least, most: what it may be, both included. whole: a count. default: with why, where there is one."""

    name: str
    unit: str
    meaning: str
    least: float = SMALLEST
    most: float = LARGEST
    whole: bool = False
    default: float | None = None
    why: str = ""

    @property
    def flag(self) -> str:
        """Its option on the command line."""
        return "--price" if self.name == "price_usd_h" else "--" + self.name.replace("_", "-")

    @property
    def accepts(self) -> str:
        """What it may be, in words."""
        kind = "a whole number" if self.whole else "a number"
        low = "above 0" if self.least == SMALLEST else f"of at least {self.least:g}"
        most = "1e15" if self.most == LARGEST else f"{self.most:.10g}"
        return f"{kind} {low} and at most {most}"

    def problem(self, value: float) -> str:
        """What is wrong with a value; empty when nothing is. NaN is no number."""
        whole = not self.whole or value == value // 1
        return "" if self.least <= value <= self.most and whole else f"expected {self.accepts}"


def _share(name: str, meaning: str, least: float = SMALLEST) -> Quantity:
    return Quantity(name, "frac", meaning, least=least, most=1.0)


def _count(name: str, meaning: str, default: float | None = None, why: str = "", least: int = 1) -> Quantity:
    return Quantity(name, "count", meaning, least, MAX_GPUS, True, default, why)


_ALL = (
    # money
    Quantity("price_usd_h", "$/h", "price of one GPU for an hour", most=10_000),
    Quantity("electricity_usd_kwh", "$/kWh", "price of electricity", most=10),
    Quantity("capex_usd_per_gpu", "$", "purchase of one GPU and its part of the node", most=1e6),
    Quantity("life_y", "years", "years of linear write-off", most=20),
    _share("maintenance_frac_y", "maintenance a year, of the purchase", least=0.0),
    Quantity("staffing_usd_h", "$/h", "operating staff, per GPU", least=0, most=1000),
    _share("utilisation_frac", "share of owned hours in which the GPU is used"),
    Quantity("usd_per_mtok", "$/Mtok", "price of a million tokens"),
    Quantity(
        "guardrail_usd_per_mtok",
        "$/Mtok",
        "price of a million tokens of the guardrail model",
        least=0,
        default=0.0,
        why="no guardrail",
    ),
    # power
    Quantity("pue", "x", "power of the site over that of its machines", least=1, most=4),
    Quantity("kw_per_gpu", "kW", "one GPU with its part of the node", most=20),
    Quantity("power_w", "W", "mean power of one GPU", most=1e5),
    Quantity("other_power_w", "W", "mean power of the GPU it is compared with", most=1e5),
    Quantity("power_p90_w", "W", "power of one GPU not exceeded 90 % of the time", most=1e5),
    Quantity("energy_j", "J", "difference of the energy counter"),
    Quantity("window_s", "s", "seconds between the counter's two readings"),
    Quantity("years", "years", "the period", most=100, default=1.0, why="one year"),
    # how many
    _count("gpus", "GPUs, in each node where there are several", 1, "one GPU"),
    _count("nodes", "nodes alike", 1, "one node"),
    _count("servers", "servers that they fill"),
    _count("racks", "racks that they fill"),
    Quantity("kw", "kW", "power of all of them together"),
    # tokens
    Quantity("tok_s", "tok/s", "tokens a second, of all GPUs together"),
    Quantity("prompt_tok_s", "tok/s", "prompt tokens computed a second", least=0),
    Quantity("generation_tok_s", "tok/s", "tokens generated a second"),
    Quantity("tokens", "tok", "tokens while the counter ran"),
    Quantity("tok_j", "tok/J", "tokens a joule"),
    _share("prefill_frac", "prefill's share of the requests' prefill and decode time", least=0.0),
    Quantity("prefill_s", "s", "sum of the requests' prefill time", least=0),
    Quantity("decode_s", "s", "sum of the requests' decode time", least=0),
    # responses
    Quantity("attempts", "x", "attempts for one response that can be used", least=1, most=1e6),
    _share("success_frac", "share of attempts whose response can be used"),
    Quantity("tokens_per_response", "tok", "tokens of one attempt"),
    Quantity("guardrail_tokens", "tok", "tokens that a guardrail reads of a response", least=0),
    Quantity("tok_h", "tok/h", "tokens an hour, to check the others against"),
    Quantity("responses_h", "1/h", "responses an hour, to check the others against"),
    # scaling
    Quantity("one_tok_s", "tok/s", "throughput of one device alone"),
    Quantity("all_tok_s", "tok/s", "throughput of all devices together, as measured"),
    Quantity("each_tok_s", "tok/s", "throughput of all devices together, divided by their number"),
    _share("per_doubling_frac", "efficiency kept each time the number of devices doubles"),
    _share("efficiency_frac", "scaling efficiency"),
    Quantity("other_tok_s", "tok/s", "throughput of one device of the other kind"),
    _share("other_efficiency_frac", "scaling efficiency of the other kind"),
    # stragglers
    Quantity("median_s", "s", "median of the ranks' times for one step"),
    Quantity("slowest_s", "s", "the slowest rank's time for one step"),
    Quantity("slower_frac", "frac", "by how much more time the slowest rank takes", least=0, most=1000),
    # right-sizing
    Quantity("other_price_usd_h", "$/h", "price of the other GPU for an hour", most=10_000),
    Quantity("bandwidth_gb_s", "GB/s", "memory bandwidth", most=1e7),
    Quantity("other_bandwidth_gb_s", "GB/s", "memory bandwidth of the other GPU", most=1e7),
    Quantity("memory_gb", "GB", "memory of the GPU", most=1e6),
    Quantity("other_memory_gb", "GB", "memory of the other GPU", most=1e6),
    Quantity("weights_gb", "GB", "weights read in each decode step", most=1e6),
    Quantity("kv_gb", "GB", "KV cache and the rest that must fit", least=0, most=1e6),
    Quantity("step_ms", "ms", "time of one decode step, or between two tokens", most=1e9),
    Quantity("slo_ms", "ms", "most that a step may take", most=1e9),
    Quantity(
        "kept_frac",
        "frac",
        "bytes of a weight in the lower precision, of those it has now",
        most=1.0,
        default=0.5,
        why="half, as FP8 of BF16",
    ),
    _share("gr_active_frac", "share of the job's time in which the GPU runs anything"),
    Quantity("tflop_s", "TFLOP/s", "peak of the precision in use", most=1e9),
    Quantity("other_tflop_s", "TFLOP/s", "peak of the lower precision, same GPU", most=1e9),
    _count("batch", "sequences decoded together"),
    Quantity(
        "weight_bytes",
        "bytes",
        "bytes of a weight",
        most=16,
        default=2.0,
        why="FP16 or BF16",
    ),
    Quantity("requests_min", "1/min", "requests a minute"),
    Quantity("request_s", "s", "seconds that one request keeps the GPU busy"),
)
QUANTITIES: dict[str, Quantity] = {quantity.name: quantity for quantity in _ALL}
