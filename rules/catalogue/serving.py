"""Rules that read what an inference engine says of itself, beside what its GPU shows."""

from __future__ import annotations

from rules import thresholds as th
from rules.catalogue.common import at_least, item, pct, place, share
from rules.catalogue.host_gap import gap_items
from rules.catalogue.host_inside import checkpointing
from rules.demand import demand
from rules.finding import Finding
from rules.observed import mean
from rules.registry import Context, finding, rule
from rules.serving import ServingFigures
from rules.verdict import EvidenceItem

_NAMES = {
    "vllm": "vLLM",
    "sglang": "SGLang",
    "tensorrt-llm": "TensorRT-LLM",
    "triton": "Triton",
    "tgi": "TGI",
}


def _busy(ctx: Context) -> ServingFigures | None:
    """The engine's figures where requests ran or waited."""
    return ctx.evidence.serving if demand(ctx.evidence) == "some" else None


def _who(made: ServingFigures) -> str:
    return f"{_NAMES.get(made.engine, made.engine[:20])} at {made.endpoint[:80]}"


def _said(metric: str, value: float | None, unit: str, threshold: str | None = None) -> EvidenceItem:
    return item(metric, value, unit, threshold, "the engine's own metrics")


def _below(limit: th.Threshold) -> str:
    return f"< {limit.value:g}"


def _requests(made: ServingFigures) -> tuple[EvidenceItem, ...]:
    """What ran and waited, on average over the looks."""
    return (
        _said("requests running", made.running, "count"),
        _said("requests waiting", made.waiting, "count"),
    )


@rule("SERVE001", "KV cache is full, and requests are preempted", "high", "job", "window")
def kv_limited(ctx: Context) -> Finding | None:
    """The engine takes requests that its KV cache cannot hold, throws their state away and computes it again.

    **What it detects**
    The KV cache more than 90 % full on average while the count of preempted (vLLM) or retracted (SGLang)
    requests grows.

    **Why it costs**
    A preempted request computes its prompt and all that it generated again: paid for twice, and its user
    waits.

    **How to tell it apart**
    A full cache alone is what a busy engine wants. SERVE003 has room in the cache and requests that wait.

    **What to do**
    More memory for the cache (weights in fewer bits, a larger share of the card, more GPUs), smaller entries
    (fp8), shorter contexts, or fewer requests at once.

    **Evidence**
    The engine's use of its KV cache and its count of preemptions.

    **Source**
    - vLLM documentation, Optimization and Tuning: preemption and what to do about it
    """
    made = _busy(ctx)
    full = None if made is None else made.kv_use_frac
    if made is None or full is None or full <= th.KV_FULL.value or not made.preemptions_s:
        return None
    return finding(
        ctx,
        kv_limited,
        claim=f"{_who(made)} on {place(ctx)} has its KV cache {pct(full)} full and preempts "
        f"{made.preemptions_s * 60:.1f} requests a minute.",
        share=0.0,
        evidence=(
            _said("KV cache in use", full, "frac", f"> {th.KV_FULL.value:g}"),
            _said("preemptions", made.preemptions_s, "1/s", "> 0"),
            *_requests(made),
        ),
        actions=(
            "Give the cache more memory: `--gpu-memory-utilization 0.95` (vLLM), "
            "`--mem-fraction-static` (SGLang).",
            "Halve its entries: `--kv-cache-dtype fp8`, with the accuracy checked.",
            "Take fewer at once: a lower `--max-num-seqs` (vLLM), `--max-running-requests` (SGLang).",
            "Shard over more GPUs (`--tensor-parallel-size`), or weights in fp8: both leave room.",
        ),
        confidence=0.9,
        severity="high",
    )


@rule("SERVE002", "Decoding with too few requests", "medium", "fleet", "window")
def batch_starved(ctx: Context) -> Finding | None:
    """Every request that comes is served at once, and the card reads all weights for a few tokens a step.

    **What it detects**
    Fewer than 32 requests running, none waiting, less than half of the KV cache in use, and at least 15 % of
    the time bound by memory bandwidth.

    **Why it costs**
    A decode step reads the weights once for the whole batch: twice the requests take little longer, so each
    token costs nearly half.

    **How to tell it apart**
    With requests waiting it is the scheduler (SERVE003) or the cache (SERVE001) that keeps the batch small.
    With none running nobody asks (SERVE005, HOST009). A larger batch setting changes nothing here: nothing
    waits to join it.

    **What to do**
    Send the requests of several replicas to one, several models or adapters to one card, or use a smaller
    GPU.

    **Evidence**
    Running and waiting requests and use of the KV cache (engine), time bound by memory (GPM).

    **Source**
    - ML.ENERGY, Llama-3.1-8B on one H100: 1,070 tokens a second at 8 requests, 9,010 at 256
    """
    made, bound = _busy(ctx), share(ctx, "memory")
    if made is None or bound < th.SECONDARY.value or not _starved(made):
        return None
    return finding(
        ctx,
        batch_starved,
        claim=f"{_who(made)} on {place(ctx)} decodes {made.running:.1f} requests at a time, none waits, and "
        f"{pct(bound)} of the time goes into reading weights and cache for them.",
        share=bound,
        evidence=(
            _said("requests running", made.running, "count", _below(th.FEW_RUNNING)),
            _said("requests waiting", made.waiting, "count", _below(th.WAITING)),
            _said("KV cache in use", made.kv_use_frac, "frac", _below(th.KV_ROOM)),
            item("time limited by memory", bound, threshold=at_least(th.SECONDARY)),
        ),
        actions=(
            "Route several replicas' requests to one, and give the others back.",
            "Serve several adapters or models from this card (`--enable-lora`; MPS or MIG for whole models).",
            "Take a GPU with less bandwidth per dollar spent, if the latencies allow it: `advisor whatif`.",
        ),
        recoverable=0.0,
        confidence=0.8,
    )


def _starved(made: ServingFigures) -> bool:
    few = made.running is not None and made.running < th.FEW_RUNNING.value
    none_waits = made.waiting is not None and made.waiting < th.WAITING.value
    return few and none_waits and made.kv_use_frac is not None and made.kv_use_frac < th.KV_ROOM.value


@rule("SERVE003", "Requests wait although there is room", "medium", "job", "window")
def scheduler_limited(ctx: Context) -> Finding | None:
    """A limit of the scheduler keeps requests waiting while memory and bandwidth are free.

    **What it detects**
    One request or more waiting on average, less than 90 % of the KV cache in use, and less than half of the
    DRAM roof while busy, without the tensor cores being the limit.

    **Why it costs**
    The batch could be larger at nearly the same time a step, and users wait for nothing.

    **How to tell it apart**
    A full cache is SERVE001. A prefill that fills the card is arithmetic (COMP001), and its queue is real.
    Bursts queue for a moment in every engine: the mean over the window decides.

    **What to do**
    Raise the limits of requests and tokens a step, admit prompts in chunks, and look at grammars, adapters
    and priorities that hold requests back.

    **Evidence**
    Waiting and running requests and use of the KV cache (engine), DRAM activity (GPM).

    **Source**
    - vLLM documentation, Optimization and Tuning: max_num_seqs, max_num_batched_tokens, chunked prefill
    """
    made, roof = _busy(ctx), ctx.verdict.dram_roof_frac
    if made is None or made.waiting is None or made.waiting < th.WAITING.value:
        return None
    if made.kv_use_frac is None or made.kv_use_frac >= th.KV_FULL.value:
        return None
    if roof is None or roof >= th.DRAM_LOW.value or share(ctx, "compute") >= th.SECONDARY.value:
        return None
    return finding(
        ctx,
        scheduler_limited,
        claim=f"{_who(made)} on {place(ctx)} keeps {made.waiting:.1f} requests waiting with its KV cache "
        f"{pct(made.kv_use_frac)} full and {pct(roof)} of the DRAM roof in use.",
        share=0.0,
        evidence=(
            _said("requests waiting", made.waiting, "count", at_least(th.WAITING)),
            _said("requests running", made.running, "count"),
            _said("KV cache in use", made.kv_use_frac, "frac", _below(th.KV_FULL)),
            item("DRAM roof fraction while busy", roof, threshold=_below(th.DRAM_LOW)),
        ),
        actions=(
            "Raise `--max-num-seqs` and `--max-num-batched-tokens` (vLLM), `--max-running-requests` "
            "(SGLang), `--parallel` (llama-server).",
            "Let prompts join running batches: chunked prefill (`--enable-chunked-prefill`).",
            "Look at what the waiting ones need: a grammar, an adapter that is not loaded, a priority.",
        ),
        confidence=0.7,
        severity="medium",
    )


@rule("SERVE004", "Decoding waits for its host", "high", "job", term="host_gap")
def eager_decode(ctx: Context) -> Finding | None:
    """Requests run, and the GPU idles between the kernels of their steps: decoding without CUDA graphs.

    **What it detects**
    Requests running, at least 15 % of the time lost to the host, and either decode passes of which more than
    10 % ran without a CUDA graph, or, where the engine does not count them, a GPU with something running for
    less than 80 % of the time.

    **Why it costs**
    A decode step launches hundreds of kernels of microseconds; without a graph each waits for Python.

    **How to tell it apart**
    With no requests running nobody asks (HOST009, SERVE005). Tokenising or serialising in the engine's
    process (HOST012, HOST013) shows in a look inside: `--stacks`.

    **What to do**
    Let the engine capture its graphs, for batches as large as those that come, and keep its scheduler's
    thread on a free core.

    **Evidence**
    Decode passes with and without graphs (SGLang), running requests (engine), gr_active (GPM).

    **Source**
    - SGLang, cuda_graph_passes_total by mode
    - Fireworks, CUDA graphs for decoding: 8.4 to 5.1 ms a token, 1.65x on an 8B model
    """
    made, gap, busy = _busy(ctx), share(ctx, "host"), mean(ctx.evidence, "gr_active")
    if made is None or (made.running or 0.0) < th.ASKED.value or gap < th.HOST_GAP.value:
        return None
    eager = None if made.graphs_frac is None else 1.0 - made.graphs_frac
    counted = eager is not None and eager > th.EAGER_DECODE.value
    if not counted and (eager is not None or busy is None or busy >= th.EAGER_GR.value):
        return None
    why = (
        f"{pct(eager or 0.0)} of its decode passes run without a CUDA graph"
        if counted
        else "requests run meanwhile"
    )
    return finding(
        ctx,
        eager_decode,
        claim=f"{place(ctx)} waits for the host of {_who(made)} {pct(gap)} of the time; {why}.",
        share=gap,
        evidence=(
            *gap_items(ctx),
            _said("requests running", made.running, "count", at_least(th.ASKED)),
            _said("decode passes without a CUDA graph", eager, "frac", f"> {th.EAGER_DECODE.value:g}"),
        ),
        actions=(
            "Leave CUDA graphs on: no `--enforce-eager` (vLLM), no `--disable-cuda-graph` (SGLang).",
            "Capture batches as large as those that run: `--cuda-graph-max-bs` (SGLang), "
            "`--cuda-graph-sizes` (vLLM).",
            "`advisor diagnose --stacks` tells a slow scheduler or tokeniser from kernel launches.",
        ),
        confidence=0.9 if counted else 0.5,
    )


@rule(
    "SERVE005",
    "An engine holds the GPU and nobody asks it",
    "high",
    "fleet",
    term="idle_held",
    causes=("idle-held",),
)
def unasked(ctx: Context) -> Finding | None:
    """The engine's own metrics show neither running nor waiting requests while it holds the GPU.

    **What it detects**
    At least 15 % of the time held with nothing running, in which the engine showed nothing running, nothing
    waiting, look after look, and its count of tokens (or of responses) did not grow.

    **Why it costs**
    The card is paid for around the clock and used by nobody.

    **How to tell it apart**
    IDLE002 and IDLE003 are processes of which nobody knows what they wait for; here the engine says it: for
    requests. Requests that never arrive because a router in front is broken look the same.

    **What to do**
    Scale to zero or to fewer replicas when quiet, put several models behind one server, or check the router.

    **Evidence**
    Running and waiting requests and counts of tokens (engine), gr_active (GPM).

    **Source**
    - Execution-idle study (2026): 19.7 % of the time within GPU jobs nothing runs, 10.7 % of their energy
    """
    made, part = ctx.evidence.serving, share(ctx, "idle_held")
    if made is None or part < th.SECONDARY.value or demand(ctx.evidence) != "none":
        return None
    if checkpointing(ctx) is not None:
        return None
    return finding(
        ctx,
        unasked,
        claim=f"{_who(made)} holds {place(ctx)} and had no request for "
        f"{made.t_end_s - made.t_start_s:.0f} s; {pct(part)} of the time nothing ran.",
        share=part,
        evidence=(
            item("time held with nothing running", part, threshold=at_least(th.SECONDARY)),
            _said("requests running", made.running, "count", f"<= {th.UNASKED.value:g}"),
            _said("requests waiting", made.waiting, "count", f"<= {th.UNASKED.value:g}"),
            _counted(made),
        ),
        actions=(
            "Scale this replica to zero when it is quiet, or serve its model from one that is asked.",
            "If it should have requests: check the router or load balancer in front of it.",
        ),
        confidence=0.95,
    )


def _counted(made: ServingFigures) -> EvidenceItem:
    """The counter that did not grow: of tokens, else of responses."""
    tokens = made.generation_tok_s if made.generation_tok_s is not None else made.prompt_tok_s
    if tokens is not None:
        return _said("tokens counted", tokens, "tok/s", "= 0")
    return _said("responses counted", made.response_s, "1/s", "= 0")


@rule("SERVE006", "The objective is missed", "high", "job", "window")
def objective_missed(ctx: Context) -> Finding | None:
    """Fewer than nine in ten requests meet the objective that was given.

    **What it detects**
    Of the window's requests at most 90 % can have met the objective (`--slo`, or `slo` in the configuration),
    even if the requests that missed one limit are those that missed the others.

    **Why it costs**
    Tokens that come too late are paid for like the others.

    **How to tell it apart**
    Late first tokens with a queue are a matter of capacity or of the scheduler (SERVE003); late ones without
    a queue of long prompts; slow gaps between tokens of too large a batch, or of prompts that are computed
    between the steps.

    **What to do**
    For first tokens: more replicas, chunked prefill, prefix caching. Between tokens: a smaller batch, smaller
    chunks of prompts, prefill and decode on GPUs of their own.

    **Evidence**
    The engine's histograms of latencies; a limit inside a bucket leaves a range.

    **Source**
    - DistServe, OSDI'24: goodput, and prefill and decode that slow each other down
    """
    made = ctx.evidence.serving
    if made is None or made.slo_met_high_frac is None or made.slo_met_high_frac >= th.SLO_MET.value:
        return None
    return finding(
        ctx,
        objective_missed,
        claim=f"{_who(made)} on {place(ctx)} meets {made.slo} in at most "
        f"{pct(made.slo_met_high_frac)} of requests.",
        share=0.0,
        evidence=(
            _said("requests that may have met it", made.slo_met_high_frac, "frac", at_least(th.SLO_MET)),
            _said("requests that surely met it", made.slo_met_low_frac, "frac"),
            _said("time to first token, p50", made.ttft_p50_s, "s"),
            _said("time between tokens, p50", made.itl_p50_s, "s"),
            *_requests(made),
        ),
        actions=(
            "Late first tokens: add replicas, or chunked prefill and prefix caching.",
            "Slow gaps: lower `--max-num-seqs`, or `--max-num-batched-tokens` so that prompts disturb less.",
        ),
        confidence=0.9,
        severity="high",
    )
