"""SGLang."""

from __future__ import annotations

from advisor.serving.engines.table import Engine, Series, first

_PASSES = "sglang:cuda_graph_passes"

SGLANG = Engine(
    name="sglang",
    title="SGLang",
    marks=("sglang:",),
    aliases={"sglang_": "sglang:"},
    ports=(30000,),
    only={"tp_rank": ("0",), "pp_rank": ("0",)},
    counters={
        "prompt_tokens": first("sglang:prompt_tokens"),
        "cached_tokens": first("sglang:cached_tokens"),
        "generation_tokens": first("sglang:generation_tokens"),
        "responses": first("sglang:num_requests"),
        "bad_responses": first("sglang:num_aborted_requests"),
        "preemptions": first("sglang:num_retracted_requests"),
        "decodes_graph": (Series(_PASSES, {"mode": ("decode_cuda_graph",)}),),
        "decodes_plain": (Series(_PASSES, {"mode": ("decode_none",)}),),
    },
    gauges={
        "running": first("sglang:num_running_reqs"),
        "waiting": first("sglang:num_queue_reqs"),
        "kv_use": first("sglang:token_usage"),
        "prefix_hit": first("sglang:cache_hit_rate"),
    },
    histograms={
        "ttft": first("sglang:time_to_first_token_seconds"),
        "itl": first("sglang:inter_token_latency_seconds"),
        "tpot": first("sglang:time_per_output_token_seconds"),
        "e2e": first("sglang:e2e_request_latency_seconds"),
        "queue": first("sglang:queue_time_seconds"),
    },
    absent={
        "prefill_s": "SGLang does not publish prefill and decode time",
        "preemptions": "this SGLang counts no retracted requests (num_retracted_reqs is of one batch)",
    },
    notes=("SGLang counts tokens when a request is done: windows much longer than a request are right",),
    switch="start it with --enable-metrics",
)
