"""Small made-up Nsight Systems exports. All of it is synthetic: no GPU produced these figures."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

PID = 4242
KERNEL = "CUPTI_ACTIVITY_KIND_KERNEL"
MEMCPY = "CUPTI_ACTIVITY_KIND_MEMCPY"
MEMSET = "CUPTI_ACTIVITY_KIND_MEMSET"
GRAPH = "CUPTI_ACTIVITY_KIND_GRAPH_TRACE"
RUNTIME = "CUPTI_ACTIVITY_KIND_RUNTIME"
SYNC = "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION"
UTC_NS = 1_700_000_000_000_000_000


def global_pid(pid: int = PID) -> int:
    """A serialised process id."""
    return (1 << 48) | (pid << 24)


def global_tid(pid: int = PID, tid: int = PID) -> int:
    """A serialised thread id."""
    return global_pid(pid) | tid


class Export:
    """Rows by table. Tables exist once they have a row, with just the columns of their first row."""

    def __init__(self) -> None:
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self._strings: dict[str, int] = {}

    def add(self, table: str, **row: Any) -> Export:
        """One row of any table."""
        self.tables.setdefault(table, []).append(row)
        return self

    def text(self, value: str) -> int:
        """The id of a string."""
        if value not in self._strings:
            self._strings[value] = 100 + len(self._strings)
            self.add("StringIds", id=self._strings[value], value=value)
        return self._strings[value]

    def kernel(
        self, start: int, end: int, name: str = "synthetic_gemm", *, pid: int = PID, **more: Any
    ) -> Export:
        """A kernel with all columns of current exports."""
        row: dict[str, Any] = {
            "start": start, "end": end, "deviceId": 0, "contextId": 1, "greenContextId": None, "streamId": 7,
            "correlationId": 0, "globalPid": global_pid(pid), "demangledName": self.text(name),
            "shortName": self.text(name), "gridX": 8, "gridY": 4, "gridZ": 2, "blockX": 128, "blockY": 2,
            "blockZ": 1, "registersPerThread": 32, "staticSharedMemory": 1024, "dynamicSharedMemory": 2048,
            "graphNodeId": None, "graphId": 0,
        }  # fmt: skip
        return self.add(KERNEL, **row | more)

    def old_kernel(self, start: int, end: int, name: str = "synthetic_gemm", **more: Any) -> Export:
        """A kernel with the few columns that every vintage has."""
        row = {
            "start": start, "end": end, "deviceId": 0, "streamId": 7, "correlationId": 0,
            "shortName": self.text(name),
        }  # fmt: skip
        return self.add(KERNEL, **row | more)

    def copy(self, start: int, end: int, kind: int, source: int | None, target: int | None) -> Export:
        """A copy of 4096 bytes."""
        return self.add(
            MEMCPY, start=start, end=end, deviceId=0, contextId=1, streamId=7, correlationId=0,
            globalPid=global_pid(), bytes=4096, copyKind=kind, srcKind=source, dstKind=target,
        )  # fmt: skip

    def call(
        self, start: int, end: int, name: str, correlation: int, *, pid: int = PID, tid: int = PID
    ) -> Export:
        """A CUDA API call."""
        return self.add(
            RUNTIME, start=start, end=end, eventClass=0, globalTid=global_tid(pid, tid),
            correlationId=correlation, nameId=self.text(name), returnValue=0,
        )  # fmt: skip

    def launched(
        self, at: int, start: int, end: int, correlation: int, *, pid: int = PID, **more: Any
    ) -> Export:
        """A launch call of 5 ns and its kernel."""
        self.call(at, at + 5, "cudaLaunchKernel_v7000", correlation, pid=pid, tid=pid)
        return self.kernel(start, end, pid=pid, correlationId=correlation, **more)

    def range(self, start: int, end: int | None, text: str, *, kind: int = 59, tid: int = PID) -> Export:
        """An NVTX range with its text in the row."""
        return self.add(
            "NVTX_EVENTS", start=start, end=end, eventType=kind, text=text, globalTid=global_tid(tid=tid),
            textId=None,
        )  # fmt: skip

    def about(self, utc_ns: int = UTC_NS, **facts: str) -> Export:
        """Versions and the time at which the capture began."""
        self.add("TARGET_INFO_SESSION_START_TIME", utcEpochNs=utc_ns)
        said = {"EXPORT_PRODUCT_VERSION": "2026.0.0 (synthetic)", "EXPORT_SCHEMA_VERSION": "3.25.0", **facts}
        for name, value in said.items():
            self.add("META_DATA_EXPORT", name=name, value=value)
        return self

    def write(self, path: Path, extra: Sequence[str] = ()) -> Path:
        """Writes the file; `extra` statements come last."""
        with closing(sqlite3.connect(path)) as database:
            for table, rows in self.tables.items():
                columns = list(rows[0])
                listed = ", ".join(f'"{column}"' for column in columns)
                database.execute(f'CREATE TABLE "{table}" ({listed})')
                places = ", ".join("?" for _ in columns)
                database.executemany(
                    f'INSERT INTO "{table}" ({listed}) VALUES ({places})',  # noqa: S608
                    [tuple(row.get(column) for column in columns) for row in rows],
                )
            for statement in extra:
                database.execute(statement)
            database.commit()
        return path


def training(steps: int = 5) -> Export:
    """Steps of 1,000 ns: an operator launches a kernel, the host waits for it, and loads a batch."""
    made = Export().about()
    for number in range(steps):
        at = 1000 * number
        made.range(at, at + 1000, f"step {number}")
        made.range(
            at + 10, at + 40, f"aten::mm, seq = {number}, op_id = {number}, sizes = [[8, 16], [16, 4]]"
        )
        made.launched(at + 20, at + 100, at + 600, 1000 + number)
        made.call(at + 50, at + 620, "cudaDeviceSynchronize_v3020", 2000 + number)
        made.range(at + 650, at + 950, "enumerate(DataLoader)#next")
    return made
