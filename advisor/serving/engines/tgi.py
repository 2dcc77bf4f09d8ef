"""Text Generation Inference."""

from __future__ import annotations

from advisor.serving.engines.table import Engine, Series, first


def _spent(method: str) -> tuple[Series, ...]:
    """Seconds that batches of this kind took."""
    names = ("tgi_batch_inference_duration_sum", "tgi_batch_forward_duration_sum")
    return tuple(Series(name, {"method": (method,)}) for name in names)


TGI = Engine(
    name="tgi",
    title="TGI",
    marks=("tgi_",),
    ports=(8080, 3000),
    counters={
        "prompt_tokens": first("tgi_request_input_length_sum"),
        "generation_tokens": first("tgi_request_generated_tokens_sum"),
        "responses": first("tgi_request_count"),
        "good_responses": first("tgi_request_success"),
        "prefill_s": _spent("prefill"),
        "decode_s": _spent("decode"),
    },
    gauges={"running": first("tgi_batch_current_size"), "waiting": first("tgi_queue_size")},
    histograms={
        "tpot": first("tgi_request_mean_time_per_token_duration"),
        "e2e": first("tgi_request_duration"),
        "queue": first("tgi_request_queue_duration"),
    },
    absent={
        "kv_use": "TGI does not publish how full its KV cache is",
        "ttft": "TGI publishes no time to the first token",
        "preemptions": "TGI does not count preemptions",
    },
    notes=("TGI counts tokens when a request is done: windows much longer than a request are right",),
    switch="its metrics are always on, at /metrics",
)
