"""llama.cpp's server. Its counters are printed with six digits, so a long-lived one's windows are coarse."""

from __future__ import annotations

from advisor.serving.engines.table import Engine, Series, first

_NO_HISTOGRAM = "llama-server publishes no histogram of latencies"

LLAMACPP = Engine(
    name="llama.cpp",
    title="llama.cpp",
    marks=("llamacpp:",),
    ports=(8080,),
    digits=6,
    counters={
        "computed_tokens": first("llamacpp:prompt_tokens"),
        "cached_tokens": first("llamacpp:prompt_tokens_cached"),
        "generation_tokens": first("llamacpp:tokens_predicted"),
        "prefill_s": first("llamacpp:prompt_seconds"),
        "decode_s": first("llamacpp:tokens_predicted_seconds"),
        "steps": first("llamacpp:n_decode"),
        "batch_requests": (Series("llamacpp:n_busy_slots_per_decode", times="llamacpp:n_decode"),),
    },
    gauges={
        "running": first("llamacpp:requests_processing"),
        "waiting": first("llamacpp:requests_deferred"),
        "kv_use": first("llamacpp:kv_cache_usage_ratio"),
    },
    absent={
        "responses": "llama-server does not count requests",
        "kv_use": "this llama-server does not publish how full its KV cache is",
        "preemptions": "llama-server does not count preemptions",
        **dict.fromkeys(("ttft", "itl", "e2e", "queue"), _NO_HISTOGRAM),
    },
    notes=("llama-server counts a request's generated tokens when it is done",),
    switch="start it with --metrics",
)
