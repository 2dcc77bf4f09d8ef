"""Settings: each with its type, limits, default and meaning. `advisor.config` reads them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Theme = Literal["auto", "dark", "light", "ansi"]
Dollars = Annotated[float, Meta(gt=0, le=10_000)]
Capex = Annotated[float, Meta(gt=0, le=1e6)]
Kilowatts = Annotated[float, Meta(gt=0, le=20)]
Share = Annotated[float, Meta(gt=0, le=1)]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting with its default. None means: not set."""

    interval_s: Annotated[
        float, Meta(ge=0.1, le=60, description="Seconds between two looks at power, clocks and memory.")
    ] = 1.0
    gpm_interval_s: Annotated[
        float,
        Meta(
            gt=0.1,
            le=10,
            description="Seconds of one GPM sub-window; NVML accepts only more than 0.1.",
        ),
    ] = 0.2
    window_s: Annotated[
        float, Meta(ge=1, le=3600, description="Seconds of the past that a live verdict looks at.")
    ] = 60.0
    price_usd_h: Annotated[
        Dollars | None,
        Meta(description="Dollars per GPU and hour, for models that [prices] does not name."),
    ] = None
    prices: Annotated[
        dict[str, Dollars],
        Meta(description='Dollars per GPU and hour by model, such as "H100 SXM5 80GB" or "H100".'),
    ] = {}
    node_prices: Annotated[
        dict[str, Dollars],
        Meta(description='Dollars per GPU and hour by host name; "gpu-a*" matches several.'),
    ] = {}
    job_prices: Annotated[
        dict[str, Dollars],
        Meta(
            description='Dollars per GPU and hour by Slurm "partition:NAME", or by "label:NAME" (see label).'
        ),
    ] = {}
    label: Annotated[
        str, Meta(max_length=100, description="A word for this node or pool that [job_prices] may price.")
    ] = ""
    price_provider: Annotated[
        str, Meta(max_length=40, description="Whose on-demand price to prefer in the bundled table.")
    ] = "aws"
    electricity_usd_kwh: Annotated[
        float, Meta(gt=0, le=10, description="Dollars per kWh of electricity.")
    ] = 0.10
    pue: Annotated[
        float, Meta(ge=1, le=4, description="Power of the whole site over that of its machines (PUE).")
    ] = 1.54
    capex_usd_per_gpu: Annotated[
        Capex | None,
        Meta(description="What one GPU and its part of the node cost to buy, in dollars."),
    ] = None
    life_y: Annotated[
        float, Meta(gt=0, le=20, description="Years over which the purchase is written off.")
    ] = 4.0
    maintenance_frac_y: Annotated[
        float, Meta(ge=0, le=1, description="Maintenance a year, as a share of the purchase.")
    ] = 0.05
    kw_per_gpu: Annotated[
        Kilowatts | None,
        Meta(description="Kilowatts of one GPU with its part of the node, for cost of ownership."),
    ] = None
    staffing_usd_h: Annotated[
        float, Meta(ge=0, le=1000, description="Dollars an hour of operating staff, per GPU.")
    ] = 0.0
    utilisation_frac: Annotated[
        Share | None, Meta(description="Share of owned hours in which GPUs are used.")
    ] = None
    serving: Annotated[
        bool, Meta(description="Ask inference engines on this node's loopback ports for their metrics.")
    ] = True
    slo: Annotated[
        str,
        Meta(
            max_length=200,
            description='The objective of serving, such as "ttft=200ms,itl=30ms"; empty: none.',
        ),
    ] = ""
    history: Annotated[
        bool, Meta(description="Keep diagnoses and ceilings of this node's GPUs for `advisor history`.")
    ] = True
    history_days: Annotated[float, Meta(gt=0, le=36500, description="Days that history is kept.")] = 365.0
    history_mib: Annotated[
        float, Meta(ge=1, le=100_000, description="Mebibytes that history may take; the oldest goes first.")
    ] = 256.0
    theme: Annotated[
        Theme, Meta(description="Colours of the screens: auto, dark, light, or ansi (the terminal's own).")
    ] = "auto"
    ascii: Annotated[
        bool, Meta(description="Draw with ASCII alone, for terminals and fonts without block characters.")
    ] = False
    redact: Annotated[
        bool,
        Meta(description="Hide secrets, user names, home paths in all that is written; host names always."),
    ] = True
    fail_on: Annotated[
        str,
        Meta(description="Exit with 1 on a severity, a rule's code or usd:N, comma-separated; empty: never."),
    ] = ""
    select: Annotated[
        str,
        Meta(
            description="Codes of the rules to report, or beginnings of codes, comma-separated; empty: every "
            "rule."
        ),
    ] = ""
    ignore: Annotated[
        str,
        Meta(
            description="Codes of rules not to report, or beginnings of codes, comma-separated. Ladder and "
            "verdict stay."
        ),
    ] = ""
    use_stored_ceilings: Annotated[
        bool,
        Meta(
            description="Compare with what `advisor probe` measured on this very card, where it did; "
            "false: with data sheets."
        ),
    ] = True
    demo: Annotated[bool, Meta(description="Open the bundled recording where no GPU can be measured.")] = True


class LoadedConfig(Config, frozen=True, kw_only=True):
    """A Config with where each value came from: "flag", "environment", "config" or "default".

    path: the file that was looked for; exists says whether it was there.
    """

    origins: dict[str, str] = {}
    path: str = ""
    exists: bool = False
