"""Memory-bound with indices, sorts and transforms: gather, sparse product, radix sort, batched FFT.

What each must move at least is known from its definition, or for the sort from its algorithm; see each.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from benchmarks.workloads.parts import Loop, fitting, generator, normal
from benchmarks.workloads.spec import Bench, Step, Workload

_FLOAT, _INT, _LONG, _COMPLEX = 4, 4, 8, 8
_WIDTH = 256
_PARTS = 4
_BAND = 32
# Radix sort of 32-bit keys by digits of 8 bits.
_PASSES = 4
_POINTS = 1024


def _embedding_gather(bench: Bench) -> Step:
    """Each row of a 4 GiB table once, in random order, in four lookups, twice.

    Bytes an element of a row: 4 read and 4 written; and 8 an index. No row comes twice, so no cache can help.
    """
    torch, source = bench.torch, generator(bench)
    rows = fitting(bench, bench.of(1 << 22, 1 << 8), (1.0 + 2.0 / _PARTS) * _FLOAT * _WIDTH, _PARTS)
    table = normal(bench, source, rows, _WIDTH)
    lookups = torch.randperm(rows, generator=source, device=bench.device).chunk(_PARTS)

    def call() -> Any:
        found = None
        for indices in lookups:
            found = torch.nn.functional.embedding(indices, table)
        return found

    return Loop(call, 2, bytes=2.0 * _FLOAT * rows * _WIDTH + float(_LONG * rows))


def banded(bench: Bench, rows: int) -> Any:
    """Each row has the 32 columns about its diagonal. CSR with 32-bit indices, in ascending order."""
    torch, where = bench.torch, {"device": bench.device, "dtype": bench.torch.int32}
    first = (torch.arange(rows, **where) - _BAND // 2).clamp_(0, rows - _BAND)
    columns = first[:, None] + torch.arange(_BAND, **where)
    values = normal(bench, generator(bench), rows * _BAND)
    starts = torch.arange(rows + 1, **where) * _BAND
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch calls the format a beta
        return torch.sparse_csr_tensor(starts, columns.flatten(), values, (rows, rows))


def _spmv(bench: Bench) -> Step:
    """y = A·x with 32 entries a row, 2^28 in all, ten times; cuSPARSE.

    Bytes: 8 an entry (value and column), 4 a row start, x and y once: later reads of an x hit a cache.
    FLOPs: 2 an entry.
    """
    rows = fitting(bench, bench.of(1 << 23, 1 << 8), 2.0 * _BAND * (_FLOAT + _INT), _BAND)
    matrix = banded(bench, rows)
    x = normal(bench, generator(bench), rows)
    entries = rows * _BAND
    moved = entries * (_FLOAT + _INT) + (rows + 1) * _INT + 2 * rows * _FLOAT
    return Loop(lambda: bench.torch.mv(matrix, x), 10, bytes=float(moved), flops=2.0 * entries)


def _sort(bench: Bench) -> Step:
    """Sort of 2^28 fp32 keys with their int64 places, as torch.sort gives them.

    Bytes an element, of a radix sort by digits of 8 bits, the widest that CUB uses: four passes that read and
    write key and place (24 each), one read of the keys to count digits (4), and the places, which torch
    writes beforehand (8). Scattered writes are counted as if none were torn, so this is the least.
    """
    torch = bench.torch
    n = fitting(bench, bench.of(1 << 28, 1 << 12), 40.0)
    keys = normal(bench, generator(bench), n)
    out = (torch.empty_like(keys), torch.empty(n, dtype=torch.int64, device=bench.device))
    moved = n * (_PASSES * 2 * (_FLOAT + _LONG) + _FLOAT + _LONG)
    return Loop(lambda: torch.sort(keys, out=out)[0], 1, bytes=float(moved))


def _fft_batched(bench: Bench) -> Step:
    """Complex fp32 FFTs of 1024 points over 2 GiB, six times.

    Bytes: 16 a point, one read and one write, as a transform of this length is one kernel. Not into a given
    buffer: torch transforms into one of its own then and copies.
    FLOPs: 5·n·log2(n), the customary count: 3 a byte.
    """
    torch = bench.torch
    batch = fitting(bench, bench.of(1 << 18, 4), 3.0 * _COMPLEX * _POINTS)
    x = normal(bench, generator(bench), batch, _POINTS, dtype="complex64")
    flops = 5.0 * _POINTS * math.log2(_POINTS) * batch
    return Loop(lambda: torch.fft.fft(x), 6, bytes=2.0 * _COMPLEX * batch * _POINTS, flops=flops)


WORKLOADS: tuple[Workload, ...] = (
    Workload(
        name="embedding_gather",
        family="memory_gather",
        label="memory",
        cause="dram-bandwidth",
        truth="pure",
        about="Rows of 1 KiB read in random order and written one after the other, without arithmetic.",
        setup=_embedding_gather,
        bound=("dram_copy", "bytes"),
    ),
    Workload(
        name="spmv",
        family="memory_gather",
        label="memory",
        cause="dram-bandwidth",
        truth="pure",
        about="Each entry of a sparse matrix is read once, with its column, for one multiply-add.",
        setup=_spmv,
        bound=("dram_read", "bytes"),
    ),
    Workload(
        name="sort",
        family="memory_gather",
        label="memory",
        cause="dram-bandwidth",
        truth="pure",
        about="A radix sort moves every key and its place four times, and only counts digits meanwhile.",
        setup=_sort,
        bound=("dram_copy", "bytes"),
    ),
    Workload(
        name="fft_batched",
        family="memory_gather",
        label="memory",
        cause="dram-bandwidth",
        truth="pure",
        about="Short transforms in one pass each: about 3 FLOP a byte, where a card has 20 and more.",
        setup=_fft_batched,
        bound=("dram_copy", "bytes"),
    ),
)
