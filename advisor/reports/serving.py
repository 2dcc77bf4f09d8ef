"""Engines as lines of a report: figures, dollars and latencies, each with its reason where it is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from advisor.reports.common import Style
from advisor.serving.engines import engine_named
from rules.serving import ServingFigures

UNKNOWN = "unknown"
# Why a figure is unknown is told once a reason; so many figures are named with it.
_NAMED = 4
# Engines of a node that a report has room for.
MAX_ENGINES = 8
_LATENCIES = (
    ("ttft", "to the first token"),
    ("itl", "between tokens"),
    ("tpot", "per token, by request"),
    ("e2e", "whole request"),
    ("queue", "in the queue"),
)
_WHAT = {
    "prompt_tok_s": "prompt tokens",
    "cached_tok_s": "cached tokens",
    "generation_tok_s": "generated tokens",
    "response_s": "responses",
    "running": "running",
    "waiting": "waiting",
    "kv_use_frac": "KV cache",
    "preemptions_s": "preemptions",
    "usd_per_mtok": "$ per token",
    "usd_per_mtok_prefill": "split of $",
    "usd_per_response": "$ per response",
    "tok_j": "tokens per joule",
    "slo_met_frac": "share within the objective",
    "ttft_p50_s": "time to first token",
    "itl_p50_s": "time between tokens",
    "e2e_p50_s": "request latency",
    "ttft_p99_s": "p99 to first token",
    "itl_p99_s": "p99 between tokens",
    "e2e_p99_s": "p99 of requests",
}
# Where these are known, that another one is not says nothing more.
_INSTEAD = {"itl_p50_s": "tpot_p50_s", "itl_p99_s": "tpot_p99_s"}


class Line(NamedTuple):
    """One line of an engine: what it is, and its figures."""

    what: str
    text: str


def heading(made: ServingFigures, style: Style) -> str:
    """ "vLLM at 127.0.0.1:8000, model meta-llama/Llama-3.1-8B-Instruct": the names are untrusted."""
    engine = engine_named(made.engine)
    name = style.text(made.engine) if engine is None else engine.title
    model = "" if made.model is None else f", model {style.text(made.model)}"
    return f"{name} at {style.text(made.endpoint)}{model}"


def lines(made: ServingFigures, style: Style) -> tuple[Line, ...]:
    """What is known of an engine, and last what is not."""
    candidates = (
        Line("tokens", _tokens(made)),
        Line("requests", _requests(made)),
        Line("memory", _memory(made)),
        Line("batch", _batch(made)),
        *(Line(words, _latency(made, name)) for name, words in _LATENCIES),
        Line("objective", _objective(made, style)),
        Line("cost", _cost(made, style)),
        Line("energy", _energy(made)),
        *(Line("note", style.text(note)) for note in made.notes),
        *(Line("unknown", style.text(text)) for text in _unknowns(made)),
    )
    return tuple(line for line in candidates if line.text)


def left_out(engines: Sequence[ServingFigures]) -> tuple[str, ...]:
    """What to say of engines beyond those shown."""
    more = len(engines) - MAX_ENGINES
    return (f"{more} more engines are in the JSON.",) if more > 0 else ()


def _tokens(made: ServingFigures) -> str:
    parts = [
        _count(made.generation_tok_s, "generated"),
        _count(made.prompt_tok_s, "of prompts"),
        _count(made.cached_tok_s, "from cache"),
    ]
    known = [part for part in parts if part]
    return f"{', '.join(known)} (tok/s over {made.t_end_s - made.t_start_s:.0f} s)" if known else ""


def _count(value: float | None, what: str) -> str:
    return "" if value is None else f"{value:,.0f} {what}" if value >= 100.0 else f"{value:,.1f} {what}"


def _requests(made: ServingFigures) -> str:
    parts = [
        "" if made.running is None else f"{made.running:.1f} running",
        "" if made.waiting is None else f"{made.waiting:.1f} waiting",
        "" if made.response_s is None else f"{made.response_s:.2g} done a second",
        "" if made.good_response_frac is None else f"{_pct(made.good_response_frac)} of them well",
    ]
    return ", ".join(part for part in parts if part)


def _memory(made: ServingFigures) -> str:
    if made.kv_use_frac is None:
        return ""
    most = "" if made.kv_use_max_frac is None else f", at most {_pct(made.kv_use_max_frac)}"
    pre = "" if made.preemptions_s is None else f", {made.preemptions_s:.2g} preemptions a second"
    hits = "" if made.prefix_hit_frac is None else f", prefix cache hits {_pct(made.prefix_hit_frac)}"
    return f"KV cache {_pct(made.kv_use_frac)} full{most}{pre}{hits}"


def _batch(made: ServingFigures) -> str:
    parts = [
        "" if made.step_tokens is None else f"{made.step_tokens:.1f} tokens a step",
        "" if made.batch_requests is None else f"{made.batch_requests:.2f} requests a decode pass",
        "" if made.graphs_frac is None else f"{_pct(made.graphs_frac)} of decode passes by CUDA graphs",
        ""
        if made.prefill_time_frac is None
        else f"prefill takes {_pct(made.prefill_time_frac)} of request time",
    ]
    return ", ".join(part for part in parts if part)


def _latency(made: ServingFigures, name: str) -> str:
    parts = []
    for label in ("p50", "p99"):
        figure = f"{name}_{label}_s"
        value, bounds = getattr(made, figure), made.bounds.get(figure)
        if value is None and bounds is not None:
            parts.append(f"{label} at least {time_text(bounds[0])}")
        elif value is not None and bounds is not None and bounds[1] is not None:
            parts.append(f"{label} {time_text(value)} ({time_text(bounds[0])} to {time_text(bounds[1])})")
    return ", ".join(parts)


def time_text(seconds: float) -> str:
    """0.0123 -> "12.3 ms"."""
    if seconds <= 0.0:
        return "0"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1.0 else f"{seconds:.3g} s"


def _objective(made: ServingFigures, style: Style) -> str:
    low, high = made.slo_met_low_frac, made.slo_met_high_frac
    gaps = "" if made.gaps_met_frac is None else f"{_pct(made.gaps_met_frac)} of single gaps within the limit"
    if not made.slo or low is None or high is None:
        return f"{style.text(made.slo)}: {gaps}" if made.slo and gaps else ""
    met = _pct(low) if low == high else f"{_pct(low)} to {_pct(high)}"
    good = _span(made.goodput_low_tok_s, made.goodput_high_tok_s, "{:,.0f}")
    cost = _span(made.usd_per_mtok_good_low, made.usd_per_mtok_good_high, "${:,.3g}")
    parts = [
        f"{style.text(made.slo)}: met by {met}",
        f"{good} good tok/s" if good else "",
        f"{cost} per million good generated tokens" if cost else "",
        gaps,
    ]
    return "; ".join(part for part in parts if part)


def _span(low: float | None, high: float | None, form: str) -> str:
    if low is None or high is None or low == high:
        known = low if low is not None else high
        return (
            "" if known is None else (form.format(known) if low == high else f"{form.format(known)} or more")
        )
    return f"{form.format(low)} to {form.format(high)}"


def _cost(made: ServingFigures, style: Style) -> str:
    if made.usd_h is None:
        return ""
    parts = [
        "" if made.usd_per_mtok is None else f"${made.usd_per_mtok:,.3g} per million tokens{_of_both(made)}",
        ""
        if made.usd_per_mtok_generated is None
        else f"${made.usd_per_mtok_generated:,.3g} per million generated",
        "" if made.usd_per_mtok_prefill is None else f"prefill ${made.usd_per_mtok_prefill:,.3g}",
        "" if made.usd_per_mtok_decode is None else f"decode ${made.usd_per_mtok_decode:,.3g}",
        "" if made.tok_usd is None else f"{made.tok_usd:,.0f} tokens a dollar",
        "" if made.usd_per_response is None else f"${made.usd_per_response:,.3g} per {_response(made)}",
        f"${made.usd_h:,.2f}/h ({style.text(made.price_source)})",
    ]
    return ", ".join(part for part in parts if part)


def _of_both(made: ServingFigures) -> str:
    """Said where dollars of generated tokens alone stand beside it."""
    return " of prompts and generated" if made.usd_per_mtok_generated is not None else ""


def _response(made: ServingFigures) -> str:
    return "response" if made.good_response_frac is None else "good response"


def _energy(made: ServingFigures) -> str:
    if made.power_w is None:
        return ""
    tokens = "" if made.tok_j is None else f", {made.tok_j:.3g} tokens a joule"
    cost = made.usd_energy_per_mtok
    money = "" if cost is None else f", electricity ${cost:.2g} per million tokens"
    return f"{made.power_w:,.0f} W by the energy counter{tokens}{money}"


def _unknowns(made: ServingFigures) -> list[str]:
    """Reasons, each with the figures that it explains; those of secondary figures are left to the JSON."""
    by_reason: dict[str, list[str]] = {}
    for figure, words in _WHAT.items():
        reason = made.missing.get(figure)
        told = getattr(made, _INSTEAD.get(figure, figure), None) is not None or figure in made.bounds
        if reason is not None and not told:
            by_reason.setdefault(reason, []).append(words)
    return [f"{_listed(names)}: {reason}" for reason, names in by_reason.items()]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _pct(frac: float) -> str:
    return f"{100 * frac:.0f} %"
