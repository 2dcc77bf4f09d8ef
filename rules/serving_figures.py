"""Figures of an engine over a window: rates, states and latencies from its readings, then dollars, joules.

Every figure that cannot be had is None, and `missing` says why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from rules.engine_reading import HISTOGRAMS, Reading
from rules.serving import ServingFigures
from rules.serving_window import Window, Within, quantile, within
from rules.slo import Slo
from rules.tokens import energy_usd_per_mtok, tokens_per_usd, usd_per_mtok

_QUANTILES = (("p50", 0.50), ("p99", 0.99))
_ONE_READING = "one reading only: a rate takes two"
_NOTHING_DONE = "nothing was counted in the window"
_NO_TOKENS = "no tokens were counted in the window"
_NO_BOUNDS = "its series have no bucket bounds in common"
_GAPS_ALONE = (
    "the engine counts single gaps between tokens, which do not tell how many requests kept the limit"
)
_AS_MANY = "tokens within the objective: as if requests that met it generate as many tokens as others"
_NOT_APART = "failures are not told apart: every response counts as one that means something"
_ROUNDED = "the engine prints too few digits for a window this short: watch longer"

Missing = dict[str, str]


class EngineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Whose readings they are. absent: quantity -> why this engine never tells it."""

    endpoint: str
    engine: str
    version: str | None = None
    keys: tuple[str, ...] = ()
    absent: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """What the devices of an engine cost and draw. no_price, no_power: why that is unknown.

    usd_h: of all its devices together, with its source. power_w: from their energy counters.
    """

    usd_h: float | None = None
    source: str = ""
    no_price: str = "no price is known"
    power_w: float | None = None
    no_power: str = "the engine's GPUs are not known"
    electricity_usd_kwh: float | None = None
    pue: float = 1.0


def figures(facts: EngineFacts, readings: Sequence[Reading], slo: Slo | None = None) -> ServingFigures:
    """What the readings of one model, oldest first, say of the window between them."""
    window = Window(readings)
    missing: Missing = {}
    values = {**_tokens(window), **_states(window), **_latencies(window, missing)}
    values |= _objective(window, slo, values.get("generation_tok_s"), missing) if slo is not None else {}
    _explain(values, window, facts, missing)
    return ServingFigures(
        endpoint=facts.endpoint,
        engine=facts.engine,
        engine_version=facts.version,
        model=readings[-1].model,
        keys=facts.keys,
        t_start_s=readings[0].t_s,
        t_end_s=readings[-1].t_s,
        scrapes=len(readings),
        resets=window.resets,
        missing=missing,
        notes=(*facts.notes, *_notes(window, values)),
        **values,
    )


def _tokens(window: Window) -> dict[str, Any]:
    computed, cached, generated = (
        _prompt(window),
        window.rate("cached_tokens"),
        window.growth("generation_tokens"),
    )
    responses = window.growth("responses")
    good = _good(window, responses)
    prompt_all = _ratio((computed or 0.0) + (cached or 0.0), responses) if computed is not None else None
    return {
        "prompt_tok_s": computed,
        "cached_tok_s": cached,
        "generation_tok_s": window.rate("generation_tokens"),
        "response_s": window.rate("responses"),
        "good_response_frac": _ratio(good, responses),
        "prompt_tokens_per_response": None if prompt_all is None else prompt_all * window.length_s,
        "generation_tokens_per_response": _ratio(generated, responses),
        "step_tokens": _ratio(window.growth("step_tokens"), window.growth("steps")),
        "batch_requests": _ratio(window.growth("batch_requests"), window.growth("steps")),
        "graphs_frac": _part(window.growth("decodes_graph"), window.growth("decodes_plain")),
        "prefix_hit_frac": _prefix_hits(window, computed, cached),
        "prefill_time_frac": _part(window.growth("prefill_s"), window.growth("decode_s")),
        "preemptions_s": window.rate("preemptions"),
    }


def _prompt(window: Window) -> float | None:
    """Prompt tokens a second that were computed: as counted, or all without those from a cache."""
    if (computed := window.rate("computed_tokens")) is not None:
        return computed
    every = window.rate("prompt_tokens")
    return None if every is None else max(0.0, every - (window.rate("cached_tokens") or 0.0))


def _good(window: Window, responses: float | None) -> float | None:
    """Responses that neither failed nor were aborted."""
    good, bad = window.growth("good_responses"), window.growth("bad_responses")
    if good is not None or responses is None or bad is None:
        return good
    return max(0.0, responses - bad)


def _prefix_hits(window: Window, computed: float | None, cached: float | None) -> float | None:
    if computed is not None and cached is not None:
        return _part(cached, computed)
    counted = _ratio(window.growth("prefix_hits"), window.growth("prefix_queries"))
    return counted if counted is not None else window.mean("prefix_hit", together=_mean)


def _states(window: Window) -> dict[str, Any]:
    return {
        "running": window.mean("running"),
        "waiting": window.mean("waiting"),
        "waiting_capacity": window.mean("waiting_capacity"),
        "kv_use_frac": _frac(window.mean("kv_use", together=_mean)),
        "kv_use_max_frac": _frac(window.most("kv_use")),
    }


def _latencies(window: Window, missing: Missing) -> dict[str, Any]:
    values: dict[str, Any] = {}
    bounds: dict[str, tuple[float, float | None]] = {}
    for name in HISTOGRAMS:
        buckets = window.histogram(name)
        for label, q in _QUANTILES if buckets is not None else ():
            figure, found = f"{name}_{label}_s", quantile(buckets, q) if buckets is not None else None
            if found is None or buckets is None:
                missing[figure] = _NOTHING_DONE
                continue
            if buckets.total < (least := _least(q)):
                missing[figure] = f"{buckets.total:g} counted: a {label} takes {least}"
                continue
            values[figure] = found.value_s
            bounds[figure] = (found.low_s, found.high_s)
            if found.value_s is None:
                missing[figure] = f"at least {found.low_s:g} s: the histogram's last bucket has no end"
    return {**values, "bounds": bounds}


def _least(q: float) -> int:
    """How many have to be counted for one of them to lie beyond this quantile."""
    return round(1.0 / (1.0 - q))


def _objective(window: Window, slo: Slo, generation: float | None, missing: Missing) -> dict[str, Any]:
    """How many met the objective: each latency's share is known, their overlap within bounds (Frechet).

    A latency of which no histogram tells may have been kept by all requests or by none.
    """
    shares, unknown = _shares(window, slo)
    values = {"slo": slo.text, **_gaps(window, slo)}
    if not shares:
        missing["slo_met_frac"] = missing["goodput_tok_s"] = unknown
        return values
    low = 0.0 if unknown else max(0.0, math.fsum(share.low for share in shares) - (len(shares) - 1))
    high = min(share.high for share in shares)
    exact = shares[0].frac if len(shares) == 1 and not unknown else (low if low == high else None)
    if exact is None:
        why = unknown or _two_bounds(len(shares))
        missing["slo_met_frac"] = missing["goodput_tok_s"] = f"{why}: between low and high"
    good = {"": exact, "_low": low, "_high": high}
    goodput = {
        f"goodput{part}_tok_s": frac * generation
        for part, frac in good.items()
        if frac is not None and generation is not None
    }
    met = {"slo_met_frac": exact, "slo_met_low_frac": low, "slo_met_high_frac": high}
    return {**values, **met, **goodput}


def _shares(window: Window, slo: Slo) -> tuple[list[Within], str]:
    """Of each limit that a histogram of requests tells of, the share that kept it; why others are unknown."""
    shares, why = [], dict[str, list[str]]()
    for name, limit_s in slo.limits.items():
        buckets = window.histogram("tpot" if name == "itl" else name)
        share = within(buckets, limit_s) if buckets is not None else None
        if share is not None:
            shares.append(share)
        elif buckets is not None:
            return [], _NOTHING_DONE
        else:
            why.setdefault(_untold(window, name), []).append(name)
    return shares, "; ".join(
        f"{said}{' or '.join(names)}" if said != _GAPS_ALONE else said for said, names in why.items()
    )


def _untold(window: Window, name: str) -> str:
    if name == "itl" and window.histogram("itl") is not None:
        return _GAPS_ALONE
    return "no histogram tells "


def _two_bounds(limits: int) -> str:
    if limits > 1:
        return "separate histograms do not tell which requests met every limit"
    return "the limit lies beyond the histogram's last bound"


def _gaps(window: Window, slo: Slo) -> dict[str, float | None]:
    """The share of gaps between tokens within their limit: of gaps, whatever it says of requests."""
    buckets = window.histogram("itl")
    share = within(buckets, slo.itl_s) if buckets is not None and slo.itl_s is not None else None
    return {} if share is None else {"gaps_met_frac": share.frac}


# Figure -> the quantity whose absence explains it.
_NEEDS = {
    "prompt_tok_s": "prompt_tokens",
    "cached_tok_s": "cached_tokens",
    "generation_tok_s": "generation_tokens",
    "response_s": "responses",
    "good_response_frac": "responses",
    "prompt_tokens_per_response": "responses",
    "generation_tokens_per_response": "responses",
    "running": "running",
    "waiting": "waiting",
    "kv_use_frac": "kv_use",
    "kv_use_max_frac": "kv_use",
    "preemptions_s": "preemptions",
    "step_tokens": "step_tokens",
    "batch_requests": "batch_requests",
    "graphs_frac": "decodes_graph",
    "prefix_hit_frac": "cached_tokens",
    "prefill_time_frac": "prefill_s",
    **{f"{name}_{label}_s": name for name in HISTOGRAMS for label, _ in _QUANTILES},
}


def _explain(values: Mapping[str, Any], window: Window, facts: EngineFacts, missing: Missing) -> None:
    """Why each figure that is None is unknown."""
    single = window.length_s <= 0.0
    for figure, wanted in _NEEDS.items():
        if values.get(figure) is not None or figure in missing:
            continue
        quantity = (
            "computed_tokens" if wanted == "prompt_tokens" and _has(window, "computed_tokens") else wanted
        )
        there = _has(window, quantity)
        if single and there:
            missing[figure] = _ONE_READING
        elif there:
            missing[figure] = _uncounted(window, quantity)
        else:
            missing[figure] = facts.absent.get(quantity, "the engine does not publish it")


def _uncounted(window: Window, quantity: str) -> str:
    if window.unlike(quantity):
        return _NO_BOUNDS
    return _ROUNDED if window.coarse(quantity) else _NOTHING_DONE


def _has(window: Window, quantity: str) -> bool:
    return any(quantity in kind for r in window.readings for kind in (r.counters, r.gauges, r.histograms))


def _notes(window: Window, values: Mapping[str, Any]) -> tuple[str, ...]:
    said = []
    if window.resets:
        said.append("the engine began anew meanwhile: what it counted just before that is lost")
    if values.get("slo_met_high_frac") is not None:
        if "itl" in str(values.get("slo")) and window.histogram("tpot") is not None:
            said.append("the time between tokens is held against each request's mean")
        said.append(_AS_MANY)
    return tuple(said)


def priced(made: ServingFigures, money: Money) -> ServingFigures:
    """The figures with what they cost. Dollars are of the whole window: idle seconds are paid for as well."""
    missing = dict(made.missing)
    values = {**_dollars(made, money, missing), **_joules(made, money, missing)}
    apart = made.good_response_frac is not None or "usd_per_response" not in values
    return msgspec.structs.replace(
        made,
        **values,
        usd_h=money.usd_h,
        price_source=money.source,
        power_w=money.power_w,
        missing=missing,
        notes=made.notes if apart else (*made.notes, _NOT_APART),
    )


def _both(made: ServingFigures) -> float | None:
    """Tokens a second of both kinds; None unless both are known."""
    if made.prompt_tok_s is None or made.generation_tok_s is None:
        return None
    return made.prompt_tok_s + made.generation_tok_s


_DOLLARS = (
    "tok_usd",
    "usd_per_mtok",
    "usd_per_mtok_generated",
    "usd_per_mtok_prefill",
    "usd_per_mtok_decode",
    "usd_per_response",
)


def _dollars(made: ServingFigures, money: Money, missing: Missing) -> dict[str, float]:
    usd_h = money.usd_h
    if usd_h is None:
        missing.update(dict.fromkeys(_DOLLARS, money.no_price))
        return {}
    both, prefill = _both(made), made.prefill_time_frac
    out: dict[str, float] = {}
    if both:
        out |= {"tok_usd": tokens_per_usd(both, usd_h), "usd_per_mtok": usd_per_mtok(both, usd_h)}
    out |= _million("usd_per_mtok_generated", made.generation_tok_s, usd_h)
    if prefill is not None:
        out |= _million("usd_per_mtok_prefill", made.prompt_tok_s, usd_h * prefill)
        out |= _million("usd_per_mtok_decode", made.generation_tok_s, usd_h * (1.0 - prefill))
    good_s = None if made.response_s is None else made.response_s * _or(made.good_response_frac, 1.0)
    if good_s:
        out["usd_per_response"] = usd_h / 3600.0 / good_s
    # The most good tokens make the cheapest one.
    for part, goodput in (("", ""), ("_low", "_high"), ("_high", "_low")):
        out |= _million(f"usd_per_mtok_good{part}", getattr(made, f"goodput{goodput}_tok_s"), usd_h)
    _say_why(out, made, missing)
    return out


def _say_why(out: Mapping[str, float], made: ServingFigures, missing: Missing) -> None:
    """Dollars that could not be had for want of a figure have that figure's reason."""
    needs = {
        "tok_usd": ("prompt_tok_s", "generation_tok_s"),
        "usd_per_mtok": ("prompt_tok_s", "generation_tok_s"),
        "usd_per_mtok_generated": ("generation_tok_s",),
        "usd_per_mtok_prefill": ("prefill_time_frac", "prompt_tok_s"),
        "usd_per_mtok_decode": ("prefill_time_frac", "generation_tok_s"),
        "usd_per_response": ("response_s",),
    }
    for figure, parts in needs.items():
        if figure not in out:
            absent = next((p for p in parts if getattr(made, p) is None), None)
            missing[figure] = missing.get(absent, _NO_TOKENS) if absent else _NOTHING_DONE
    if "usd_per_response" not in out and made.response_s and made.good_response_frac == 0.0:
        missing["usd_per_response"] = "no response was good"


def _million(figure: str, tok_s: float | None, usd_h: float) -> dict[str, float]:
    return {figure: usd_per_mtok(tok_s, usd_h)} if tok_s and usd_h > 0.0 else {}


def _joules(made: ServingFigures, money: Money, missing: Missing) -> dict[str, float]:
    both = _both(made)
    if not both or not money.power_w:
        no_tokens = missing.get("generation_tok_s") or missing.get("prompt_tok_s") or _NO_TOKENS
        missing["tok_j"] = missing["usd_energy_per_mtok"] = no_tokens if money.power_w else money.no_power
        return {}
    tok_j = both / money.power_w
    if money.electricity_usd_kwh is None:
        missing["usd_energy_per_mtok"] = "no price of electricity is known"
        return {"tok_j": tok_j}
    cost = energy_usd_per_mtok(tok_j, money.electricity_usd_kwh, money.pue)
    return {"tok_j": tok_j, "usd_energy_per_mtok": cost}


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def _part(one: float | None, other: float | None) -> float | None:
    """One of two as a share of both; None unless both are known and there is any."""
    return None if one is None or other is None else _ratio(one, one + other)


def _frac(value: float | None) -> float | None:
    return None if value is None or value > 1.5 else min(1.0, value)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _or(value: float | None, other: float) -> float:
    return other if value is None else value
