"""Small made-up Kineto traces. All of it is synthetic: no GPU produced these figures."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PID = 4242
BASE_NS = 1_700_000_000_000_000_000


class Maker:
    """Collects events in the form that Kineto writes; times and durations are µs since the trace's base.

    Methods that make something return the id that links it: `op` its External id, `launch` and `kernel` the
    correlation.
    """

    def __init__(
        self, *, device_name: str = "Synthetic GPU", rank: int | None = None, world_size: int | None = None
    ) -> None:
        self.events: list[dict[str, Any]] = []
        self.device_name = device_name
        self.rank = rank
        self.world_size = world_size
        self._correlation = 1000
        self._external = 0

    def op(
        self,
        name: str,
        start_us: float,
        dur_us: float,
        *,
        tid: int = PID,
        dims: Sequence[Any] | None = None,
        types: Sequence[str] | None = None,
        concrete: Sequence[str] | None = None,
    ) -> int:
        """A framework operator (cpu_op)."""
        self._external += 1
        args: dict[str, Any] = {"External id": self._external}
        shapes = {"Input Dims": dims, "Input type": types, "Concrete Inputs": concrete}
        args |= {key: list(value) for key, value in shapes.items() if value is not None}
        self._host("cpu_op", name, start_us, dur_us, tid, args)
        return self._external

    def annotation(self, name: str, start_us: float, dur_us: float, *, tid: int = PID) -> None:
        """A record_function range (user_annotation)."""
        self._external += 1
        self._host("user_annotation", name, start_us, dur_us, tid, {"External id": self._external})

    def step(self, number: int, start_us: float, dur_us: float, *, tid: int = PID) -> None:
        """A step as torch.profiler marks it."""
        self.annotation(f"ProfilerStep#{number}", start_us, dur_us, tid=tid)

    def python(self, name: str, start_us: float, dur_us: float, *, tid: int = PID) -> None:
        """A Python function, as with_stack records it."""
        self._host("python_function", name, start_us, dur_us, tid, {"Python id": len(self.events)})

    def overhead(self, name: str, start_us: float, dur_us: float) -> None:
        """The profiler's own work."""
        self._host("overhead", name, start_us, dur_us, 0, None)

    def api(
        self,
        name: str,
        start_us: float,
        dur_us: float,
        *,
        tid: int = PID,
        correlation: int | None = None,
        external: int | None = None,
        driver: bool = False,
    ) -> int:
        """A call of the CUDA runtime or driver API; its correlation."""
        correlation = self._next() if correlation is None else correlation
        args: dict[str, Any] = {"cbid": 211, "correlation": correlation}
        if external is not None:
            args = {"External id": external, **args}
        self._host("cuda_driver" if driver else "cuda_runtime", name, start_us, dur_us, tid, args)
        return correlation

    def launch(self, start_us: float, dur_us: float = 5.0, **more: Any) -> int:
        """A kernel launch."""
        return self.api("cudaLaunchKernel", start_us, dur_us, **more)

    def sync(self, start_us: float, dur_us: float, *, tid: int = PID, stream: int = 7) -> int:
        """A device synchronisation: the call, and the record of it that carries a stream."""
        correlation = self.api("cudaDeviceSynchronize", start_us, dur_us, tid=tid)
        args = {"cuda_sync_kind": "Context Sync", "stream": stream, "correlation": correlation}
        self._add("cuda_sync", "Context Synchronize", 0, stream, start_us, dur_us, args)
        return correlation

    def kernel(
        self,
        name: str,
        start_us: float,
        dur_us: float,
        *,
        device: int = 0,
        stream: int = 7,
        correlation: int | None = None,
        external: int | None = None,
        grid: Sequence[int] = (1024, 1, 1),
        block: Sequence[int] = (256, 1, 1),
        registers: int = 32,
        shared: int = 0,
        occupancy: float = 50,
        **more: Any,
    ) -> int:
        """A kernel; its correlation. `more`: further args, with "_" for a space (graph_id=3)."""
        correlation = self._next() if correlation is None else correlation
        args = self._gpu_args(device, stream, correlation, external) | {
            "registers per thread": registers, "shared memory": shared, "grid": list(grid),
            "block": list(block), "est. achieved occupancy %": occupancy,
        }  # fmt: skip
        args |= {key.replace("_", " "): value for key, value in more.items()}
        self._add("kernel", name, device, stream, start_us, dur_us, args)
        return correlation

    def copy(
        self,
        start_us: float,
        dur_us: float,
        size: int,
        *,
        name: str = "Memcpy HtoD (Pageable -> Device)",
        device: int = 0,
        stream: int = 7,
        correlation: int | None = None,
        external: int | None = None,
    ) -> int:
        """A copy on the device; its correlation."""
        correlation = self._next() if correlation is None else correlation
        args = self._gpu_args(device, stream, correlation, external) | {"bytes": size}
        self._add("gpu_memcpy", name, device, stream, start_us, dur_us, args)
        return correlation

    def memset(self, start_us: float, dur_us: float, size: int, *, device: int = 0, stream: int = 7) -> int:
        """A memset on the device; its correlation."""
        correlation = self._next()
        args = self._gpu_args(device, stream, correlation, None) | {"bytes": size}
        self._add("gpu_memset", "Memset (Device)", device, stream, start_us, dur_us, args)
        return correlation

    def launched(
        self,
        name: str,
        launch_us: float,
        start_us: float,
        dur_us: float,
        *,
        launch_dur_us: float = 5.0,
        tid: int = PID,
        external: int | None = None,
        driver: bool = False,
        **kernel: Any,
    ) -> int:
        """A kernel with the call that launched it, and the flow between them."""
        call = "cuLaunchKernel" if driver else "cudaLaunchKernel"
        link = self.api(call, launch_us, launch_dur_us, tid=tid, external=external, driver=driver)
        self._flow("s", link, PID, tid, launch_us)
        self.kernel(name, start_us, dur_us, correlation=link, external=external, **kernel)
        self._flow("f", link, kernel.get("device", 0), kernel.get("stream", 7), start_us)
        return link

    def counter(self, name: str, at_us: float, value: float, *, device: int = 0) -> None:
        """A hardware counter's sample."""
        self.events.append(
            {"ph": "C", "cat": "hardware_counters", "name": name, "pid": device, "tid": 0, "ts": at_us,
             "args": {name: value}}
        )  # fmt: skip

    def thread_name(self, tid: int, label: str) -> None:
        """A thread's label."""
        self.events.append(
            {"name": "thread_name", "ph": "M", "ts": 0.0, "pid": PID, "tid": tid, "args": {"name": label}}
        )

    def document(self) -> dict[str, Any]:
        """The whole trace; as in current files, the base stands after the events."""
        head: dict[str, Any] = {"schemaVersion": 1, "deviceProperties": [self._properties()]}
        if self.rank is not None:
            head["distributedInfo"] = {
                "backend": "nccl", "rank": self.rank, "world_size": self.world_size
            }  # fmt: skip
        return {
            **head, "traceEvents": list(self.events), "traceName": "synthetic.json",
            "displayTimeUnit": "ms", "baseTimeNanoseconds": BASE_NS,
        }  # fmt: skip

    def text(self, **options: Any) -> bytes:
        """The document as JSON; options as of json.dumps."""
        return json.dumps(self.document(), **options).encode()

    def write(self, path: Path, **options: Any) -> Path:
        """Writes the document, compressed where the name ends in .gz."""
        text = self.text(**options)
        path.write_bytes(gzip.compress(text, 1) if path.suffix == ".gz" else text)
        return path

    def _properties(self) -> dict[str, Any]:
        return {
            "id": 0, "name": self.device_name, "totalGlobalMem": 80 << 30, "computeMajor": 9,
            "computeMinor": 0, "maxThreadsPerMultiprocessor": 2048, "regsPerMultiprocessor": 65536,
            "warpSize": 32, "sharedMemPerMultiprocessor": 233472, "numSms": 132,
        }  # fmt: skip

    def _next(self) -> int:
        self._correlation += 1
        return self._correlation

    def _gpu_args(self, device: int, stream: int, correlation: int, external: int | None) -> dict[str, Any]:
        linked = {} if external is None else {"External id": external}
        return {**linked, "device": device, "context": 1, "stream": stream, "correlation": correlation}

    def _host(self, cat: str, name: str, start_us: float, dur_us: float, tid: int, args: Any) -> None:
        self._add(cat, name, PID, tid, start_us, dur_us, args)

    def _add(
        self, cat: str, name: str, pid: int, tid: int, start_us: float, dur_us: float, args: Any
    ) -> None:
        event = {
            "ph": "X", "cat": cat, "name": name, "pid": pid, "tid": tid, "ts": start_us, "dur": dur_us
        }  # fmt: skip
        self.events.append(event if args is None else {**event, "args": args})

    def _flow(self, phase: str, link: int, pid: int, tid: int, at_us: float) -> None:
        self.events.append(
            {"ph": phase, "id": link, "pid": pid, "tid": tid, "ts": at_us, "cat": "ac2g", "name": "ac2g"}
        )


def training(steps: int = 3, *, gap_us: float = 100.0, **about: Any) -> Maker:
    """A made-up training loop: per step a batch is loaded, copied, and three kernels are launched."""
    made = Maker(**about)
    for number in range(steps):
        start = number * 1000.0
        made.step(number, start, 950.0)
        made.annotation("enumerate(DataLoader)#_BaseDataLoaderIter.__next__", start, gap_us)
        issued = start + gap_us
        link = made.api("cudaMemcpyAsync", issued, 20.0)
        made.copy(issued + 5, 50.0, 1 << 20, correlation=link)
        for index in range(3):
            at = issued + 30 + 20 * index
            linked = made.op("aten::mm", at, 15.0, dims=[[128, 64], [64, 32]], types=["float", "float"])
            made.launched(
                "synthetic_sgemm", at + 5, issued + 100 + 150 * index, 140.0, external=linked
            )  # fmt: skip
        made.sync(issued + 120, 500.0)
    return made
