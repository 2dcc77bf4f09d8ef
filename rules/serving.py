"""Serving: what an inference engine did over a window, from its own metrics, and what that cost.

Cost ($ per token), efficiency (tokens per joule) and value (tokens that met the objective) stand side by side
and are never merged into one figure.
"""

from __future__ import annotations

import msgspec


class ServingFigures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One engine over one window: growth of its counters, means of its gauges, quantiles of its histograms.

    Who: endpoint: host and port, without credentials, path or query. engine: "vllm", "sglang",
    "tensorrt-llm", "triton", "tgi", "llama.cpp", "dynamo". model: as the engine calls it, untrusted. keys:
    devices of its processes, as far as they are known. scrapes: that were read; resets: counters that began
    anew meanwhile.

    Rates: *_tok_s: tokens a second; prompt tokens are those computed, without `cached_tok_s` from a prefix
    cache where the engine tells them apart. response_s: responses a second; good_response_frac: of them that
    neither failed nor were aborted. preemptions_s: a second.

    States: running, waiting: requests, means over the window. waiting_capacity: of those waiting, for room in
    the KV cache. kv_use_frac: of the KV cache; kv_use_max_frac: the most seen. batch_requests, step_tokens:
    requests and tokens a forward pass. graphs_frac: share of decode passes that replayed a CUDA graph.

    Latencies, in seconds: ttft: to the first token. itl: between tokens. tpot: time per token as a mean of
    each request, where an engine counts that. e2e: of a whole request. queue: before it runs. A quantile of
    too few (a p99 of under 100) is `missing`. bounds: quantile -> the bounds of its bucket, the upper one
    None where it has no end. prefill_time_frac: prefill's share of the requests' prefill and decode time.

    Money and energy: usd_h: price of the devices it runs on. usd_per_mtok: dollars per million tokens of
    prompts and generated ones together. usd_per_mtok_generated: the same dollars per million generated tokens
    alone; what `usd_per_mtok_good` is to be held against. usd_per_mtok_prefill, usd_per_mtok_decode: of each
    phase, the price split by `prefill_time_frac`. usd_per_response: of good ones, or of all where
    `good_response_frac` is unknown. tok_j: tokens of both kinds per joule of the energy counters.

    Objective: slo: as given, such as "ttft=200ms,itl=30ms". The share of requests that met it lies between
    slo_met_low_frac and slo_met_high_frac: a bucket may straddle a limit, and histograms of several latencies
    do not tell which requests met all. slo_met_frac: that share where one limit alone is asked for (linear
    within its bucket) or both bounds agree. gaps_met_frac: of single gaps between tokens, within their limit:
    no share of requests. goodput_tok_s: generated tokens a second that met it, as if requests that did
    generate as many tokens as others; usd_per_mtok_good: dollars per million of those generated tokens; each
    with what the low and the high share come to.

    missing: figure -> why it is None. notes: what to know of the figures.
    """

    endpoint: str
    engine: str
    t_start_s: float
    t_end_s: float
    model: str | None = None
    engine_version: str | None = None
    keys: tuple[str, ...] = ()
    scrapes: int = 0
    resets: int = 0
    prompt_tok_s: float | None = None
    cached_tok_s: float | None = None
    generation_tok_s: float | None = None
    response_s: float | None = None
    good_response_frac: float | None = None
    prompt_tokens_per_response: float | None = None
    generation_tokens_per_response: float | None = None
    running: float | None = None
    waiting: float | None = None
    waiting_capacity: float | None = None
    batch_requests: float | None = None
    kv_use_frac: float | None = None
    kv_use_max_frac: float | None = None
    preemptions_s: float | None = None
    step_tokens: float | None = None
    graphs_frac: float | None = None
    prefix_hit_frac: float | None = None
    ttft_p50_s: float | None = None
    ttft_p99_s: float | None = None
    itl_p50_s: float | None = None
    itl_p99_s: float | None = None
    tpot_p50_s: float | None = None
    tpot_p99_s: float | None = None
    e2e_p50_s: float | None = None
    e2e_p99_s: float | None = None
    queue_p50_s: float | None = None
    queue_p99_s: float | None = None
    prefill_time_frac: float | None = None
    usd_h: float | None = None
    price_source: str = ""
    tok_usd: float | None = None
    usd_per_mtok: float | None = None
    usd_per_mtok_generated: float | None = None
    usd_per_mtok_prefill: float | None = None
    usd_per_mtok_decode: float | None = None
    usd_per_response: float | None = None
    power_w: float | None = None
    tok_j: float | None = None
    usd_energy_per_mtok: float | None = None
    slo: str = ""
    slo_met_frac: float | None = None
    slo_met_low_frac: float | None = None
    slo_met_high_frac: float | None = None
    gaps_met_frac: float | None = None
    goodput_tok_s: float | None = None
    goodput_low_tok_s: float | None = None
    goodput_high_tok_s: float | None = None
    usd_per_mtok_good: float | None = None
    usd_per_mtok_good_low: float | None = None
    usd_per_mtok_good_high: float | None = None
    bounds: dict[str, tuple[float, float | None]] = {}
    missing: dict[str, str] = {}
    notes: tuple[str, ...] = ()
