"""Rules for a GPU that waits while its process does something else, or cannot run."""

from __future__ import annotations

import msgspec

from rules import thresholds as th
from rules.catalogue.common import at_least, item, pauses, pct, pid, place, share
from rules.catalogue.host_gap import (
    gap_caused_by,
    gap_items,
    look_first,
    no_core_free,
    seen_frame,
    sure,
    waits,
)
from rules.economics import host_gap_bound, host_gap_effect
from rules.evidence import HostEvidence
from rules.finding import Effect, Finding
from rules.host_cause import HostCause, leading
from rules.host_stacks import usable
from rules.registry import Context, Rule, finding, rule
from rules.stacks import activity_words


def _made(
    ctx: Context,
    found: Rule,
    cause: HostCause,
    because: str,
    actions: tuple[str, ...],
    effect: Effect | None,
) -> Finding:
    """The finding of a host gap with this cause."""
    return finding(
        ctx,
        found,
        claim=waits(ctx, because),
        share=share(ctx, "host"),
        evidence=(*gap_items(ctx), *cause.evidence),
        actions=(*look_first(ctx, cause), *actions),
        effect=effect,
        confidence=sure(ctx, cause),
    )


def _bounded(ctx: Context, activities: tuple[str, ...]) -> Effect | None:
    """Up to all of what the thread spends on it, as far as the gap holds it; no gain at the low end."""
    stacks = usable(ctx.evidence.host.stacks)
    spent = sum(stacks.frac(a) for a in activities) if stacks is not None else 1.0
    bound = host_gap_bound(min(share(ctx, "host"), spent))
    if bound is None:
        return None
    basis = "no measured ratio: the bound 1/(1-x), x the part of the gap that stack samples give to it"
    return Effect(low=1.0, high=bound, bound=bound, basis=basis)


def _at(ctx: Context, activities: tuple[str, ...]) -> tuple[str, ...]:
    """Where in the program it happens, when a look showed it."""
    frame = seen_frame(ctx, activities)
    return () if frame is None else (f"Start at {frame}.",)


@rule("HOST011", "Threads wait for the GIL", "high", "job", term="host_gap", causes=("gil",))
def gil(ctx: Context) -> Finding | None:
    """Threads of the process take turns in the interpreter, and the one that feeds the GPU is one of them.

    **What it detects**
    A host gap while many threads together use about one core and none of them a whole one; or, in stack
    samples, a feeding thread in Python code that is neither on a core nor waiting for one while other threads
    hold the interpreter's lock.

    **Why it costs**
    One thread at a time runs Python. A pool of threads that prepares data in Python adds no speed, and takes
    turns of 5 ms each from the thread that launches kernels.

    **How to tell it apart**
    A single pegged thread is HOST002 or HOST010; workers that are processes have a lock of their own
    (HOST003). A thread that waits for a free core is HOST015. `py-spy record --gil` shows who holds the lock.

    **What to do**
    Prepare data in processes (`DataLoader(num_workers=N)`, `ProcessPoolExecutor`) or in C code that lets go
    of the lock (numpy, torchvision, DALI); or use a free-threaded build of Python where all libraries allow.

    **Evidence**
    Threads, CPU of the process and of its busiest thread (/proc); py-spy samples of all threads and of the
    holder of the lock.

    **Source**
    - CPython `sys.setswitchinterval`: a thread that wants the lock asks for it after 5 ms
    """
    cause = gap_caused_by(ctx, "gil")
    if cause is None:
        return None
    actions = (
        "Move Python work out of threads: `DataLoader(num_workers=N)`, `ProcessPoolExecutor`.",
        *_at(ctx, ("gil",)),
        f"`py-spy record --gil --threads --pid {pid(ctx.evidence)} -o gil.svg` shows who holds the lock.",
    )
    return _made(ctx, gil, cause, "its threads take turns at the GIL", actions, _bounded(ctx, ("gil",)))


@rule("HOST012", "Tokeniser on the critical path", "high", "job", term="host_gap", causes=("tokeniser",))
def tokeniser(ctx: Context) -> Finding | None:
    """The thread that feeds the GPU turns text into tokens, or back, while the GPU waits.

    **What it detects**
    A host gap while stack samples show the feeding thread in a tokeniser for at least 15 % of its time.

    **Why it costs**
    Text is the same every epoch, and a request's text is known before its turn: work that could be done
    ahead, or beside, is done while the GPU is paid for.

    **How to tell it apart**
    Tokenising in loader workers is HOST003. The frames name the tokeniser; a slow one is written in Python
    (`use_fast=False`).

    **What to do**
    Tokenise ahead (`datasets.map(..., num_proc=N)`, files of tokens), use a fast tokeniser, tokenise batches
    in one call, and in a server do so in a process of its own.

    **Evidence**
    gr_active; py-spy samples of the feeding thread.

    **Source**
    - Gao et al., ICSE'24: data operations cause 46 % of low-utilisation problems, preprocessing 4 %
    """
    cause = gap_caused_by(ctx, "tokeniser")
    if cause is None:
        return None
    actions = (
        *_at(ctx, ("tokenise",)),
        "Tokenise ahead: `dataset.map(tokenize, batched=True, num_proc=8)`, and save the result.",
        "Use a fast tokeniser (`AutoTokenizer.from_pretrained(..., use_fast=True)`), on whole batches.",
    )
    effect = _bounded(ctx, ("tokenise",))
    return _made(ctx, tokeniser, cause, "the thread that feeds it tokenises", actions, effect)


@rule("HOST013", "Serialisation blocks the GPU", "high", "job", term="host_gap", causes=("serialisation",))
def serialisation(ctx: Context) -> Finding | None:
    """The thread that feeds the GPU packs or unpacks data (pickle, JSON, protobuf, compression).

    **What it detects**
    A host gap while stack samples show the feeding thread in such code for at least 15 % of its time.

    **Why it costs**
    Objects that cross a process boundary are copied and packed by one thread; nothing is launched meanwhile.

    **How to tell it apart**
    Saving a checkpoint also packs and is HOST016. Unpacking in loader workers is HOST003.

    **What to do**
    Pass tensors in shared memory rather than objects, log less and in another thread, use arrays instead of
    lists of objects, a faster format (msgpack, Arrow), no compression on the way.

    **Evidence**
    gr_active; py-spy samples of the feeding thread.

    **Source**
    - Gao et al., ICSE'24: data operations cause 46 % of low-utilisation problems
    """
    cause = gap_caused_by(ctx, "serialisation")
    if cause is None:
        return None
    actions = (
        *_at(ctx, ("serialise",)),
        "Hand over tensors in shared memory (`tensor.share_memory_()`), not lists of Python objects.",
        "Write logs and results from another process; pack with msgpack or Arrow rather than pickle or JSON.",
    )
    effect = _bounded(ctx, ("serialise",))
    return _made(ctx, serialisation, cause, "the thread that feeds it serialises data", actions, effect)


@rule(
    "HOST014",
    "The feeding thread waits for its own program",
    "high",
    "job",
    term="host_gap",
    causes=("lock",),
)
def lock(ctx: Context) -> Finding | None:
    """The thread that feeds the GPU waits for another thread or process of its own program.

    **What it detects**
    A host gap while stack samples show the feeding thread at a lock, a join, a queue or a child process for
    at least 15 % of its time, and nobody prepares data for that queue. A thread that stands in a `with`
    statement or a call without using a core, while others work, counts as well.

    **Why it costs**
    What holds the lock works for itself; the GPU gets nothing meanwhile.

    **How to tell it apart**
    A queue that workers fill is HOST003. Waiting for the interpreter's own lock is HOST011. Waiting for
    another machine shows as a wait for the network (HOST009), for other ranks as HOST017.

    **What to do**
    Find the other side (`py-spy dump` shows every thread), hold the lock for less, put work into a bounded
    queue ahead of time, write logs and metrics without a lock.

    **Evidence**
    gr_active; py-spy samples of the feeding thread.

    **Source**
    - Linux futex(2): a contended lock puts the thread to sleep until another one wakes it
    """
    cause = gap_caused_by(ctx, "lock")
    if cause is None:
        return None
    activities = ("lock", "queue-wait", "child", "blocked")
    actions = (
        *_at(ctx, activities),
        f"`py-spy dump --pid {pid(ctx.evidence)}` shows every thread: which one works meanwhile?",
    )
    effect = _bounded(ctx, activities)
    return _made(ctx, lock, cause, _awaited(ctx, activities), actions, effect)


def _awaited(ctx: Context, activities: tuple[str, ...]) -> str:
    stacks = usable(ctx.evidence.host.stacks)
    group = stacks.leading(activities) if stacks is not None else None
    return f"the thread that feeds it {activity_words(group.activity if group else 'lock')}"


@rule("HOST015", "Too few CPU cores", "high", "job", term="host_gap", causes=("cpu-contention",))
def cpu_contention(ctx: Context) -> Finding | None:
    """The thread that feeds the GPU could run and has no core: workers or neighbours are on it.

    **What it detects**
    A host gap while the busiest thread waits for a free core at least 10 % of the time.

    **Why it costs**
    A launch that is late by a scheduler's turn of some milliseconds costs as much as hundreds of kernels.

    **How to tell it apart**
    A CPU quota stops all threads at once and is HOST006. Where the whole node is busy, it is HOST023. With
    cores free, a slow thread is HOST002 or
    HOST010. Fewer workers make it better here, and worse where the input pipeline is the cause (HOST003).

    **What to do**
    Ask for more cores, pin the job to cores of its own, use fewer workers and fewer math threads
    (`OMP_NUM_THREADS=1` in workers), and keep other jobs off them.

    **Evidence**
    Time on the run queue (/proc/PID/task/TID/schedstat), cores allowed, /proc/pressure/cpu.

    **Source**
    - Linux scheduler statistics: the second figure of schedstat is time spent waiting to run
    """
    cause, host = gap_caused_by(ctx, "cpu-contention"), ctx.evidence.host
    if cause is None or no_core_free(host):
        return None
    waited = pct(host.main_thread_wait_frac or 0.0)
    because = f"its busiest thread waits for a free core {waited} of the time{_cores(host)}"
    actions = (
        f"Ask for more cores (`--cpus-per-task`, the pod's CPU request){_enough(host)}.",
        "Set `OMP_NUM_THREADS=1` in workers and use fewer of them; keep one core for the main thread.",
        f"See who shares its cores: `taskset -cp {pid(ctx.evidence)}` and `top -H`.",
    )
    return _made(ctx, cpu_contention, cause, because, actions, host_gap_effect(share(ctx, "host")))


def _cores(host: HostEvidence) -> str:
    return "" if host.cpus_allowed is None else f" ({host.cpus_allowed} allowed)"


def _enough(host: HostEvidence) -> str:
    return "" if not host.children else f": one for each of {host.children} children and one to launch"


@rule("HOST016", "A checkpoint stops the GPU", "high", "job", term="host_gap", causes=("checkpoint",))
def checkpoint(ctx: Context) -> Finding | None:
    """The program saves its state, and the GPU waits until it is written.

    **What it detects**
    A host gap, or pauses of five seconds and more between work, while the process writes at least 50 MB/s in
    bursts; or, in stack samples, a feeding thread that saves at least 15 % of its time.

    **Why it costs**
    Copying, packing and writing of gigabytes take seconds to minutes; every GPU of the job waits for them.

    **How to tell it apart**
    Reading from a slow disk is HOST008 and shows no writing. A log is small. The gap comes at the interval at
    which the program saves. Pauses without writing are IDLE003; where these are most of what the host costs,
    this finding explains the ladder's idle term in its place.

    **What to do**
    Save asynchronously (`torch.distributed.checkpoint.async_save`), save less often, save shards from every
    rank, write to local NVMe first and copy later.

    **Evidence**
    Bytes written (/proc/PID/io), unevenness of gr_active; py-spy samples of the feeding thread.

    **Source**
    - Gao et al., ICSE'24: checkpointing is 16.4 % of low-utilisation issues
    - Same, BERT on 8 V100: 4.92x with a larger batch, 7.48x with asynchronous checkpoints as well (1.52x)
    """
    cause = checkpointing(ctx)
    if cause is None:
        return None
    actions = (
        *_at(ctx, ("checkpoint",)),
        "Save beside the training: `torch.distributed.checkpoint.async_save(state, checkpoint_id=PATH)`.",
        "Save less often, or to local NVMe first and copy from there.",
    )
    held, because = share(ctx, "idle_held"), "a checkpoint is being saved"
    if held <= share(ctx, "host"):
        return _made(ctx, checkpoint, cause, because, actions, _async_save(share(ctx, "host")))
    made = finding(
        ctx,
        checkpoint,
        claim=f"{place(ctx)} stands still {pct(held)} of the time, for "
        f"{th.IDLE_HELD_MIN_S.value:.0f} s or more at once; {because}.",
        share=held,
        evidence=(
            item("time held with nothing running", held, threshold=at_least(th.SECONDARY)),
            item("pauses", float(pauses(ctx.evidence)), "count", threshold=">= 1"),
            *cause.evidence,
        ),
        actions=actions,
        effect=_async_save(held),
        confidence=sure(ctx, cause),
    )
    return msgspec.structs.replace(made, term="idle_held")


def checkpointing(ctx: Context) -> HostCause | None:
    """The cause "checkpoint", where it explains a gap or the pauses of a GPU that works in between."""
    cause = leading(ctx.evidence, ctx.host_causes)
    if cause.slug != "checkpoint":
        return None
    works = 1.0 - sum(share(ctx, name) for name in ("free", "idle_held", "unknown"))
    paused = share(ctx, "idle_held") >= th.SECONDARY.value and pauses(ctx.evidence) > 0
    if share(ctx, "host") >= th.HOST_GAP.value or (paused and works >= th.SECONDARY.value):
        return cause
    return None


def _async_save(gap: float) -> Effect | None:
    """From no gain (a disk too slow for any overlap) to the measured one, never over the bound."""
    bound = host_gap_bound(gap)
    if bound is None:
        return None
    basis = "asynchronous checkpoints bought 1.52x (BERT, 8 V100, ICSE'24); never above the bound 1/(1-gap)"
    return Effect(low=1.0, high=min(1.52, bound), bound=bound, basis=basis)


@rule("HOST017", "Waits for other ranks", "high", "job", term="host_gap", causes=("collective-wait",))
def other_ranks(ctx: Context) -> Finding | None:
    """The thread that feeds the GPU stands in a collective, a barrier say, until other processes get there.

    **What it detects**
    A host gap while stack samples show the feeding thread in a collective (torch.distributed, NCCL, Gloo,
    MPI, Horovod) for at least 15 % of its time.

    **Why it costs**
    All ranks go at the pace of the slowest. Time in a collective on the host is time in which this GPU gets
    no work, although nothing is wrong with it.

    **How to tell it apart**
    A collective that runs as a kernel keeps the GPU busy and is no host gap. What holds up the slowest rank
    is found there: diagnose it on its own node. Where all ranks wait alike, the collective itself is slow:
    the network, or Gloo on the CPU where NCCL could be used.

    **What to do**
    Look at every rank for the one that does not wait; give all ranks the same work (lengths, batches, what
    one of them logs or saves); replace barriers on the host with work on the stream; use NCCL for tensors of
    the GPU.

    **Evidence**
    gr_active; py-spy samples of the feeding thread.

    **Source**
    - PyTorch, torch.distributed: a collective completes when every rank of its group has called it
    """
    cause = gap_caused_by(ctx, "collective-wait")
    if cause is None:
        return None
    activities = ("collective",)
    actions = (
        "Run `advisor diagnose --stacks` on the other ranks: the one that does not wait holds up the rest.",
        *_at(ctx, activities),
        "Balance what ranks do between collectives; keep barriers, logging and saving out of the step.",
    )
    because = "the thread that feeds it waits for other ranks"
    return _made(ctx, other_ranks, cause, because, actions, _bounded(ctx, activities))
