"""NVIDIA Dynamo's frontend. Its workers pass their engine's own metrics on, and are read as that engine."""

from __future__ import annotations

from advisor.serving.engines.table import Engine, Series, first

_REQUESTS = "dynamo_frontend_requests"

DYNAMO = Engine(
    name="dynamo",
    title="Dynamo",
    marks=("dynamo_frontend_",),
    ports=(8000,),
    model_labels=("model",),
    counters={
        "prompt_tokens": first("dynamo_frontend_input_sequence_tokens_sum"),
        "generation_tokens": first(
            "dynamo_frontend_output_tokens", "dynamo_frontend_output_sequence_tokens_sum"
        ),
        "responses": first(_REQUESTS),
        "good_responses": (Series(_REQUESTS, {"status": ("success",)}),),
    },
    gauges={
        "running": first("dynamo_frontend_active_requests", "dynamo_frontend_inflight_requests"),
        "waiting": first("dynamo_frontend_queued_requests"),
    },
    histograms={
        "ttft": first("dynamo_frontend_time_to_first_token_seconds"),
        "itl": first("dynamo_frontend_inter_token_latency_seconds"),
        "e2e": first("dynamo_frontend_request_duration_seconds"),
    },
    absent={
        "kv_use": "the frontend does not know the KV cache: its workers publish it on DYN_SYSTEM_PORT",
        "preemptions": "the frontend does not know preemptions: its workers publish them on DYN_SYSTEM_PORT",
        "prefill_s": "the frontend does not publish prefill and decode time",
    },
    switch="its metrics are always on, at /metrics of the frontend",
)
