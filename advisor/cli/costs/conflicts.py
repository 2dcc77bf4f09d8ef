"""Flags of which one alone can be meant: two ways of saying one thing are refused, never weighed."""

from __future__ import annotations

from collections.abc import Collection

from advisor.cli.diagnostics import CliError
from rules.calculators.quantities import QUANTITIES

# Each line's entries say one thing in different ways; flags of one entry go together.
WAYS = (
    ("how many tokens a second there are", (("tok_s",), ("prompt_tok_s", "generation_tok_s"))),
    ("prefill's share", (("prefill_frac",), ("prefill_s", "decode_s"))),
    ("tokens a joule", (("tok_j",), ("tokens", "energy_j"), ("power_w",))),
    ("how many attempts a response takes", (("attempts",), ("success_frac",))),
    ("what a token costs", (("usd_per_mtok",), ("price_usd_h", "tok_s"))),
    (
        "how well it scales",
        (("all_tok_s",), ("each_tok_s",), ("per_doubling_frac",), ("efficiency_frac",)),
    ),
    ("how slow the slowest rank is", (("times_s",), ("median_s", "slowest_s"), ("slower_frac",))),
    ("how many ranks there are", (("times_s",), ("gpus",))),
)


def refuse_two_ways(flags: Collection[str]) -> None:
    """Raises CliError where flags say one thing in two ways. flags: names of the quantities they give."""
    for thing, ways in WAYS:
        said = [[name for name in way if name in flags] for way in ways]
        given = [names for names in said if names]
        if len(given) > 1:
            one, other = (" and ".join(map(_flag, names)) for names in given[:2])
            choices = ", or ".join(" with ".join(map(_flag, way)) for way in ways if set(way) & set(flags))
            raise CliError(f"{one} and {other} both say {thing}", f"give {choices}, not both")


def _flag(name: str) -> str:
    return "--times-s" if name == "times_s" else QUANTITIES[name].flag
