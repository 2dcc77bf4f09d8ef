"""Triton Inference Server, with the TensorRT-LLM backend's gauges where it runs one."""

from __future__ import annotations

from advisor.serving.engines.table import Engine, Series, first

_REQUESTS = "nv_trt_llm_request_metrics"
_NO_TOKENS = "Triton publishes no count of tokens with in-flight batching"

TRITON = Engine(
    name="triton",
    title="Triton",
    marks=("nv_inference_", "nv_trt_llm_"),
    ports=(8002,),
    model_labels=("model",),
    counters={
        "responses": first("nv_inference_request_success"),
        "bad_responses": first("nv_inference_request_failure"),
    },
    gauges={
        "running": (Series(_REQUESTS, {"request_type": ("scheduled",)}),),
        "waiting": (
            Series(_REQUESTS, {"request_type": ("waiting",)}),
            Series("nv_inference_pending_request_count"),
        ),
        "kv_use": (Series("nv_trt_llm_kv_cache_block_metrics", {"kv_cache_block_type": ("fraction",)}),),
    },
    histograms={"ttft": first("nv_inference_first_response_histogram_ms", factor=1e-3)},
    absent={
        "prompt_tokens": _NO_TOKENS,
        "generation_tokens": _NO_TOKENS,
        "preemptions": "Triton does not count paused requests",
        "prefill_s": "Triton does not publish prefill and decode time",
        "e2e": "Triton publishes sums of durations, and no histogram of them",
        "itl": "Triton publishes no time between tokens",
    },
    switch="its metrics are on port 8002 unless --allow-metrics=false",
)
