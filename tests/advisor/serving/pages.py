"""Pages of metrics as engines print them: names, labels and formats are theirs, the figures invented."""

from __future__ import annotations

from collections.abc import Mapping

TTFT = (0.02, 0.1, 0.25, 1.0)


def histogram(
    name: str, labels: str, bounds: tuple[float, ...], counts: tuple[float, ...], total: float
) -> str:
    """One histogram: cumulative counts by bound, the last one of all."""
    prefix = f"{labels}," if labels else ""
    edges = [*(f"{bound}" for bound in bounds), "+Inf"]
    rows = [
        f'{name}_bucket{{{prefix}le="{edge}"}} {count}' for edge, count in zip(edges, counts, strict=True)
    ]
    outer = f"{{{labels}}}" if labels else ""
    return "\n".join(
        [f"# TYPE {name} histogram", *rows, f"{name}_count{outer} {counts[-1]}", f"{name}_sum{outer} {total}"]
    )


def vllm_v1(n: float = 1.0, *, model: str = "meta-llama/Llama-3.1-8B-Instruct", engine: str = "0") -> str:
    """vLLM's second engine after n times the same work; prometheus_client's format, with `_created`."""
    labels = f'engine="{engine}",model_name="{model}"'
    counts = (10 * n, 60 * n, 90 * n, 99 * n, 100 * n)
    gaps = (900 * n, 8100 * n, 9000 * n, 9000 * n)
    means = (40 * n, 80 * n, 100 * n)
    return f"""# HELP python_gc_objects_collected_total Objects collected during gc
# TYPE python_gc_objects_collected_total counter
python_gc_objects_collected_total{{generation="0"}} 9812.0
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{{labels}}} 12.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{{labels}}} 3.0
# TYPE vllm:num_requests_waiting_by_reason gauge
vllm:num_requests_waiting_by_reason{{{labels},reason="capacity"}} 2.0
vllm:num_requests_waiting_by_reason{{{labels},reason="deferred"}} 1.0
# HELP vllm:kv_cache_usage_perc KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{{{labels}}} 0.62
# TYPE vllm:prefix_cache_queries_total counter
vllm:prefix_cache_queries_total{{{labels}}} {4000 * n}
# TYPE vllm:prefix_cache_hits_total counter
vllm:prefix_cache_hits_total{{{labels}}} {1000 * n}
# TYPE vllm:num_preemptions_total counter
vllm:num_preemptions_total{{{labels}}} {2 * n}
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{{{labels}}} {4000 * n}
# TYPE vllm:prompt_tokens_created gauge
vllm:prompt_tokens_created{{{labels}}} 1.7615e+09
# TYPE vllm:prompt_tokens_cached_total counter
vllm:prompt_tokens_cached_total{{{labels}}} {1000 * n}
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{{{labels}}} {9000 * n}
# TYPE vllm:request_success_total counter
vllm:request_success_total{{{labels},finished_reason="stop"}} {80 * n}
vllm:request_success_total{{{labels},finished_reason="length"}} {10 * n}
vllm:request_success_total{{{labels},finished_reason="abort"}} {10 * n}
{histogram("vllm:iteration_tokens_total", labels, (8.0, 64.0), (50 * n, 90 * n, 100 * n), 1300 * n)}
{histogram("vllm:time_to_first_token_seconds", labels, TTFT, counts, 12.5 * n)}
{histogram("vllm:inter_token_latency_seconds", labels, (0.01, 0.03, 0.1), gaps, 180 * n)}
{histogram("vllm:request_time_per_output_token_seconds", labels, (0.02, 0.03), means, 2.4 * n)}
{histogram("vllm:e2e_request_latency_seconds", labels, (1.0, 5.0), (20 * n, 95 * n, 100 * n), 240 * n)}
{histogram("vllm:request_queue_time_seconds", labels, (0.3, 0.5), (100 * n, 100 * n, 100 * n), 1.0 * n)}
{histogram("vllm:request_prefill_time_seconds", labels, (0.3, 5.0), (90 * n, 100 * n, 100 * n), 10 * n)}
{histogram("vllm:request_decode_time_seconds", labels, (0.3, 5.0), (1 * n, 90 * n, 100 * n), 190 * n)}
"""


def vllm_v0(n: float = 1.0) -> str:
    """vLLM's first engine: a single label, KV use of GPU and CPU, `time_per_output_token`."""
    labels = 'model_name="facebook/opt-125m"'
    return f"""# HELP vllm:num_requests_running Number of requests currently running on GPU.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{{labels}}} 4.0
# TYPE vllm:num_requests_swapped gauge
vllm:num_requests_swapped{{{labels}}} 0.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{{labels}}} 0.0
# HELP vllm:gpu_cache_usage_perc GPU KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{{{labels}}} 0.25
# TYPE vllm:cpu_cache_usage_perc gauge
vllm:cpu_cache_usage_perc{{{labels}}} 0.9
# TYPE vllm:num_preemptions_total counter
vllm:num_preemptions_total{{{labels}}} 0.0
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{{{labels}}} {500 * n}
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{{{labels}}} {700 * n}
{histogram("vllm:time_per_output_token_seconds", labels, (0.01, 0.025), (350 * n, 700 * n, 700 * n), 8.0 * n)}
"""


def sglang(n: float = 1.0) -> str:
    """SGLang with --enable-metrics, and a second tensor-parallel rank that says the same again."""
    base = 'engine_type="unified",model_name="Qwen/Qwen3-0.6B",pp_rank="0"'
    rows = []
    for rank in (0, 1):
        labels = f'{base},tp_rank="{rank}"'
        rows.append(f"""sglang:num_running_reqs{{{labels}}} 6.0
sglang:num_queue_reqs{{{labels}}} 0.0
sglang:token_usage{{{labels}}} 0.4
sglang:cache_hit_rate{{{labels}}} 0.1
sglang:num_retracted_reqs{{{labels}}} 7.0
sglang:num_retracted_requests_total{{{labels}}} {3 * n}
sglang:cuda_graph_passes_total{{{labels},mode="decode_cuda_graph"}} {60 * n}
sglang:cuda_graph_passes_total{{{labels},mode="decode_none"}} {40 * n}
sglang:cuda_graph_passes_total{{{labels},mode="prefill_none"}} {500 * n}""")
    tokens = 'model_name="Qwen/Qwen3-0.6B"'
    return (
        "\n".join(rows)
        + f"""
# TYPE sglang:prompt_tokens_total counter
sglang:prompt_tokens_total{{{tokens}}} {2000 * n}
sglang:cached_tokens_total{{{tokens}}} {400 * n}
sglang:generation_tokens_total{{{tokens}}} {3000 * n}
sglang:num_requests_total{{{tokens}}} {50 * n}
sglang:num_aborted_requests_total{{{tokens}}} {5 * n}
{histogram("sglang:time_to_first_token_seconds", tokens, TTFT, (0, 25 * n, 50 * n, 50 * n, 50 * n), 6 * n)}
"""
    )


def trtllm(n: float = 1.0) -> str:
    """trtllm-serve at /prometheus/metrics."""
    labels = 'engine_type="undefined",model_name="TinyLlama-1.1B"'
    return f"""# TYPE trtllm_request_success_total counter
trtllm_request_success_total{{{labels},finished_reason="end_id"}} {30 * n}
trtllm_request_success_total{{{labels},finished_reason="length"}} {10 * n}
trtllm_num_requests_running{{{labels}}} 5.0
trtllm_num_requests_waiting{{{labels}}} 1.0
trtllm_kv_cache_utilization{{{labels}}} 0.5
trtllm_kv_cache_hit_rate{{{labels}}} 0.2
{histogram("trtllm_time_to_first_token_seconds", labels, TTFT, (0, 20 * n, 40 * n, 40 * n, 40 * n), 5 * n)}
{histogram("trtllm_time_per_output_token_seconds", labels, (0.01, 0.02), (20 * n, 40 * n, 40 * n), 0.4 * n)}
"""


def triton(n: float = 1.0) -> str:
    """Triton at :8002 with the TensorRT-LLM backend: an ensemble counts a request once a model."""
    models = "".join(
        f'nv_inference_request_success{{model="{model}",version="1"}} {20 * n:.0f}\n'
        f'nv_inference_request_failure{{model="{model}",reason="OTHER",version="1"}} {0 * n:.0f}\n'
        for model in ("ensemble", "tensorrt_llm")
    )
    return f"""# HELP nv_inference_request_success Number of successful inference requests
# TYPE nv_inference_request_success counter
{models}# TYPE nv_trt_llm_request_metrics gauge
nv_trt_llm_request_metrics{{model="tensorrt_llm",request_type="waiting",version="1"}} 2
nv_trt_llm_request_metrics{{model="tensorrt_llm",request_type="context",version="1"}} 1
nv_trt_llm_request_metrics{{model="tensorrt_llm",request_type="scheduled",version="1"}} 7
nv_trt_llm_request_metrics{{model="tensorrt_llm",request_type="max",version="1"}} 512
nv_trt_llm_kv_cache_block_metrics{{kv_cache_block_type="fraction",model="tensorrt_llm",version="1"}} 0.75
nv_trt_llm_kv_cache_block_metrics{{kv_cache_block_type="used",model="tensorrt_llm",version="1"}} 75
# TYPE nv_energy_consumption counter
nv_energy_consumption{{gpu_uuid="GPU-1"}} {1234.5 * n}
"""


def tgi(n: float = 1.0) -> str:
    """TGI: no labels on most; batch durations by method."""
    return f"""# TYPE tgi_request_success counter
tgi_request_success {18 * n}
# TYPE tgi_request_count counter
tgi_request_count {20 * n}
# TYPE tgi_batch_current_size gauge
tgi_batch_current_size 3
# TYPE tgi_queue_size gauge
tgi_queue_size 1
{histogram("tgi_request_input_length", "", (100.0,), (10 * n, 20 * n), 2400 * n)}
{histogram("tgi_request_generated_tokens", "", (100.0,), (10 * n, 20 * n), 1800 * n)}
{histogram("tgi_batch_inference_duration", 'method="prefill"', (0.1,), (10 * n, 20 * n), 1.0 * n)}
{histogram("tgi_batch_inference_duration", 'method="decode"', (0.1,), (10 * n, 20 * n), 3.0 * n)}
{histogram("tgi_request_duration", "", (1.0, 2.0), (10 * n, 20 * n, 20 * n), 22 * n)}
"""


def llamacpp(n: float = 1.0) -> str:
    """llama-server: no labels, six digits, a lifetime mean of busy slots."""
    decodes = 1000 * n
    return f"""# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed, excluding cached tokens
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total {400 * n:.6g}
# TYPE llamacpp:prompt_tokens_cached_total counter
llamacpp:prompt_tokens_cached_total {100 * n:.6g}
# TYPE llamacpp:prompt_seconds_total counter
llamacpp:prompt_seconds_total {0.5 * n:.6g}
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total {2000 * n:.6g}
# TYPE llamacpp:tokens_predicted_seconds_total counter
llamacpp:tokens_predicted_seconds_total {1.5 * n:.6g}
# TYPE llamacpp:n_decode_total counter
llamacpp:n_decode_total {decodes:.6g}
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 2
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 1
# TYPE llamacpp:n_busy_slots_per_decode gauge
llamacpp:n_busy_slots_per_decode {(1000 + 3000 * (n - 1)) / decodes if n else 0:.6g}
"""


def dynamo(n: float = 1.0) -> str:
    """Dynamo's frontend, and a component's counter that is nobody's engine."""
    model = 'model="qwen3"'
    of = f'endpoint="chat_completions",{model},request_type="stream"'
    return f"""# TYPE dynamo_component_requests_total counter
dynamo_component_requests_total{{dynamo_component="backend"}} {100 * n}
# TYPE dynamo_frontend_requests_total counter
dynamo_frontend_requests_total{{{of},status="success"}} {45 * n}
dynamo_frontend_requests_total{{{of},status="error"}} {5 * n}
dynamo_frontend_inflight_requests{{{model}}} 9
dynamo_frontend_queued_requests{{{model}}} 2
dynamo_frontend_output_tokens_total{{{model}}} {5000 * n}
{histogram("dynamo_frontend_input_sequence_tokens", model, (100.0,), (5 * n, 50 * n), 10000 * n)}
{histogram("dynamo_frontend_time_to_first_token_seconds", model, TTFT, (0, 0, 50 * n, 50 * n, 50 * n), 9 * n)}
"""


# What each engine's page is expected to say between n=1 and n=2, ten seconds apart.
EXPECTED: Mapping[str, Mapping[str, float]] = {
    "vllm": {"prompt_tok_s": 300.0, "cached_tok_s": 100.0, "generation_tok_s": 900.0, "response_s": 10.0},
    "sglang": {"prompt_tok_s": 160.0, "cached_tok_s": 40.0, "generation_tok_s": 300.0, "response_s": 5.0},
    "tensorrt-llm": {"response_s": 4.0, "running": 5.0, "waiting": 1.0, "kv_use_frac": 0.5},
    "tgi": {"prompt_tok_s": 240.0, "generation_tok_s": 180.0, "good_response_frac": 0.9, "running": 3.0},
    "llama.cpp": {"prompt_tok_s": 40.0, "cached_tok_s": 10.0, "generation_tok_s": 200.0, "running": 2.0},
    "dynamo": {"prompt_tok_s": 1000.0, "generation_tok_s": 500.0, "running": 9.0, "waiting": 2.0},
}
PAGES = {
    "vllm": vllm_v1,
    "sglang": sglang,
    "tensorrt-llm": trtllm,
    "triton": triton,
    "tgi": tgi,
    "llama.cpp": llamacpp,
    "dynamo": dynamo,
}
