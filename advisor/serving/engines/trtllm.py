"""TensorRT-LLM's own server (trtllm-serve), at /prometheus/metrics; its /metrics is JSON."""

from __future__ import annotations

from advisor.serving.engines.table import Engine, first

_NO_TOKENS = "trtllm-serve publishes no count of tokens"

TRTLLM = Engine(
    name="tensorrt-llm",
    title="TensorRT-LLM",
    marks=("trtllm_",),
    aliases={"trtllm:": "trtllm_"},
    paths=("/prometheus/metrics",),
    ports=(8000,),
    counters={
        "prompt_tokens": first("trtllm_prompt_tokens"),
        "generation_tokens": first("trtllm_generation_tokens"),
        "responses": first("trtllm_request_success"),
    },
    gauges={
        "running": first("trtllm_num_requests_running"),
        "waiting": first("trtllm_num_requests_waiting"),
        "kv_use": first("trtllm_kv_cache_utilization"),
        "prefix_hit": first("trtllm_kv_cache_hit_rate"),
    },
    histograms={
        "ttft": first("trtllm_time_to_first_token_seconds"),
        "itl": first("trtllm_inter_token_latency_seconds"),
        "tpot": first("trtllm_time_per_output_token_seconds"),
        "e2e": first("trtllm_e2e_request_latency_seconds"),
        "queue": first("trtllm_request_queue_time_seconds"),
    },
    absent={
        "prompt_tokens": _NO_TOKENS,
        "generation_tokens": _NO_TOKENS,
        "preemptions": "trtllm-serve does not count paused requests",
        "prefill_s": "trtllm-serve does not publish prefill and decode time",
    },
    switch="set return_perf_metrics: true in its --extra_llm_api_options",
)
