"""Serving: what an inference engine did over a window, from its own metrics, and what that cost.

Cost ($ per token), efficiency (tokens per joule) and value (tokens that met the objective) stand side by side
and are never merged into one figure.
"""

from __future__ import annotations

import msgspec


class ServingFigures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One engine over one window: growth of its counters, means of its gauges, quantiles of its histograms.

    endpoint: host and port, without credentials, path or query. engine: "vllm", "sglang", "tensorrt-llm",
    "triton", "tgi", "llama.cpp", "dynamo". model: as the engine calls it, untrusted. keys: devices of its
    processes, as far as they are known. scrapes: that were read; resets: counters that began anew meanwhile.
    *_tok_s: tokens a second; prompt tokens are those computed, without `cached_tok_s` from a prefix cache
    where the engine tells them apart. running, waiting: requests, means over the window. kv_use_frac: of the
    KV cache; kv_use_max_frac: the most seen. preemptions_s: a second. step_tokens: tokens a forward pass.
    graphs_frac: share of decode passes that replayed a CUDA graph. ttft, itl, e2e: seconds to the first
    token, between tokens, of a whole request. prefill_time_frac: prefill's share of the requests' prefill and
    decode time. usd_h: price of the devices it runs on; usd_per_mtok: dollars per million tokens of both
    kinds, and of prefill and decode each, the price split by `prefill_time_frac`. usd_per_response:
    "meaningful" leaves out responses that failed or were aborted (good_response_frac). tok_j: tokens per
    joule of the devices' energy counters. slo: the objective as given, such as "ttft=200ms,itl=30ms".
    The share of requests that met it lies between slo_met_low_frac and slo_met_high_frac: a bucket may
    straddle a limit, and histograms of several latencies do not tell which requests met all. slo_met_frac:
    that share where one limit alone is asked for (linear within its bucket) or both bounds agree.
    goodput_tok_s: generated tokens a second that met it; usd_per_mtok_good: dollars per million of those;
    each with its low and high. batch_requests: requests in a decode pass. waiting_capacity: of those waiting,
    for room in the KV cache. tpot: time per token as a mean of each request, where an engine counts that.
    bounds: quantile -> the bounds of its bucket, the upper one None where it has no end. missing: figure ->
    why it is None. notes: what to know of the figures.
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
    goodput_tok_s: float | None = None
    goodput_low_tok_s: float | None = None
    goodput_high_tok_s: float | None = None
    usd_per_mtok_good: float | None = None
    usd_per_mtok_good_low: float | None = None
    usd_per_mtok_good_high: float | None = None
    bounds: dict[str, tuple[float, float | None]] = {}
    missing: dict[str, str] = {}
    notes: tuple[str, ...] = ()
