"""vLLM: names of both its first and its second engine (v0, v1)."""

from __future__ import annotations

from advisor.serving.engines.table import Engine, Series, first

VLLM = Engine(
    name="vllm",
    title="vLLM",
    marks=("vllm:",),
    aliases={"ray_vllm_": "vllm:", "ray_vllm:": "vllm:"},
    ports=(8000,),
    counters={
        "prompt_tokens": first("vllm:prompt_tokens"),
        "cached_tokens": first("vllm:prompt_tokens_cached"),
        "generation_tokens": first("vllm:generation_tokens"),
        "responses": first("vllm:request_success"),
        "good_responses": (Series("vllm:request_success", {"finished_reason": ("stop", "length")}),),
        "preemptions": first("vllm:num_preemptions"),
        "prefill_s": first("vllm:request_prefill_time_seconds_sum"),
        "decode_s": first("vllm:request_decode_time_seconds_sum"),
        "prefix_queries": first("vllm:prefix_cache_queries", "vllm:gpu_prefix_cache_queries"),
        "prefix_hits": first("vllm:prefix_cache_hits", "vllm:gpu_prefix_cache_hits"),
        "steps": first("vllm:iteration_tokens_total_count"),
        "step_tokens": first("vllm:iteration_tokens_total_sum"),
    },
    gauges={
        "running": first("vllm:num_requests_running"),
        "waiting": first("vllm:num_requests_waiting"),
        "waiting_capacity": (Series("vllm:num_requests_waiting_by_reason", {"reason": ("capacity",)}),),
        "kv_use": first("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    },
    histograms={
        "ttft": first("vllm:time_to_first_token_seconds"),
        "itl": first("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"),
        "tpot": first("vllm:request_time_per_output_token_seconds"),
        "e2e": first("vllm:e2e_request_latency_seconds"),
        "queue": first("vllm:request_queue_time_seconds"),
    },
    absent={
        "decodes_graph": "vLLM does not count passes with and without CUDA graphs",
        "cached_tokens": "this vLLM does not count cached prompt tokens, so prompt tokens include them",
    },
    switch="its metrics are always on, at /metrics of the API server",
)
