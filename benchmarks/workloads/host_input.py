"""Host: the input arrives too late. A real DataLoader, decoding in Python, reads from a real file."""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.workloads import hostwork
from benchmarks.workloads.hostwork import Batches, Program, decode, fed, payload, products, took
from benchmarks.workloads.spec import Bench, Step, Workload

# Device seconds to host seconds, so that the host has about 0.65 of a cycle.
DEVICE_PER_HOST = 0.35 / 0.65
BLOCK_BYTES = 4096
# A disk that gives cold blocks of 4 KiB, one at a time, faster than this is not slow (flash: about 40 MB/s).
SLOW_BYTES_S = 100e6
PACE_BYTES_S = 40e6
ENDLESS = 1 << 30


class Coded:
    """Samples that are decoded in Python as they are asked for. heavy: times the work, by index."""

    def __init__(self, bench: Bench, size: int, heavy: Callable[[int], int] = lambda _: 1) -> None:
        self._torch = bench.torch
        self._payload = payload(bench.seed, size)
        self._heavy = heavy

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Any:
        for _ in range(self._heavy(index)):
            out = decode(self._payload)
        return self._torch.frombuffer(bytearray(out), dtype=self._torch.uint8)


class Decoded:
    """The same samples, decoded once beforehand."""

    def __init__(self, bench: Bench, size: int) -> None:
        self._sample = bench.torch.frombuffer(
            bytearray(decode(payload(bench.seed, size))), dtype=bench.torch.uint8
        )

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Any:
        return self._sample.clone()


def _sizes(bench: Bench) -> tuple[int, int]:
    """Bytes of a sample and samples a batch: about 50 ms of decoding in Python."""
    return bench.of(64 * 1024, 512), bench.of(8, 2)


def loaded(bench: Bench, dataset: Any, workers: int, device_s: float) -> Program:
    """A step fed by a DataLoader over `dataset`, followed by matrix products of `device_s`.

    Workers are forked before anything runs on the device: a CUDA context does not survive a fork.
    """
    batches = batches_of(bench, dataset, workers)
    return Program(fed(bench, batches.next, products(bench, device_s)), batches.close)


def batches_of(bench: Bench, dataset: Any, workers: int) -> Batches:
    """A DataLoader over `dataset`, with its workers started."""
    return Batches(bench, dataset, _sizes(bench)[1], workers)


def decode_s(bench: Bench) -> float:
    """Seconds that decoding a batch takes on one core."""
    size, batch = _sizes(bench)
    sample = payload(bench.seed, size)
    return took(lambda: decode(sample)) * batch


def _coded(bench: Bench) -> Coded:
    return Coded(bench, _sizes(bench)[0])


def _workers0(bench: Bench) -> Step:
    return loaded(bench, _coded(bench), 0, decode_s(bench) * DEVICE_PER_HOST)


def _workers4(bench: Bench) -> Step:
    return loaded(bench, _coded(bench), 4, decode_s(bench) * DEVICE_PER_HOST)


def _python_decode(bench: Bench) -> Step:
    """Two workers make a batch every half `decode_s`; the device needs a third of that."""
    return loaded(bench, _coded(bench), 2, decode_s(bench) / 2 * 0.35)


def _decoded_before(bench: Bench) -> Step:
    return loaded(bench, Decoded(bench, _sizes(bench)[0]), 2, decode_s(bench) / 2 * 0.35)


def _slow_worker(bench: Bench) -> Step:
    """Of four workers the first gets samples that are twelve times the work; batches come in order."""
    size, batch = _sizes(bench)
    dataset = Coded(bench, size, lambda index: 12 if (index // batch) % 4 == 0 else 1)
    return loaded(bench, dataset, 4, decode_s(bench))


def _even_workers(bench: Bench) -> Step:
    return loaded(bench, _coded(bench), 4, decode_s(bench))


class ColdFile:
    """A file read in blocks that no cache holds, one at a time in random order, as from a disk.

    Reads go around the page cache (O_DIRECT), or where the file system has no such thing, after it was told
    to forget the block. Where blocks nevertheless come faster than SLOW_BYTES_S (a file system in memory),
    they are paced to PACE_BYTES_S by sleeping, which from outside is a wait for something else than a disk.
    """

    def __init__(self, path: Path, blocks: int, seed: int) -> None:
        self.blocks = blocks
        self._order = random.Random(seed)
        self._buffer = mmap.mmap(-1, BLOCK_BYTES)
        self._pace_s = 0.0
        _write(path, blocks, seed)
        self._file, self.is_direct = _open_cold(path)
        count = min(64, blocks)
        rate = count * BLOCK_BYTES / took(lambda: self.read(count))
        self.is_paced = rate > SLOW_BYTES_S
        self._pace_s = BLOCK_BYTES / PACE_BYTES_S if self.is_paced else 0.0

    def read(self, count: int) -> bytes:
        """`count` random blocks."""
        begin, found = time.perf_counter(), bytearray()
        for _ in range(count):
            found += self._block(self._order.randrange(self.blocks) * BLOCK_BYTES)
        left_s = self._pace_s * count - (time.perf_counter() - begin)
        if left_s > 0:
            time.sleep(left_s)
        return bytes(found)

    def _block(self, at: int) -> bytes:
        if not self.is_direct:
            os.posix_fadvise(self._file, at, BLOCK_BYTES, os.POSIX_FADV_DONTNEED)
        os.preadv(self._file, [self._buffer], at)
        return self._buffer[:]

    def close(self) -> None:
        """Close it."""
        with contextlib.suppress(OSError):
            os.close(self._file)


def _write(path: Path, blocks: int, seed: int) -> None:
    chunk = payload(seed, min(blocks, 256) * BLOCK_BYTES)
    with path.open("wb") as file:
        for _ in range(-(-blocks // 256)):
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def _open_cold(path: Path) -> tuple[int, bool]:
    """Descriptor, and whether it goes around the page cache."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_DIRECT)
    except OSError:
        return os.open(path, os.O_RDONLY), False
    try:
        os.preadv(file, [mmap.mmap(-1, BLOCK_BYTES)], 0)
    except OSError:
        os.close(file)
        return os.open(path, os.O_RDONLY), False
    return file, True


class OnDisk:
    """Samples of as many blocks of a cold file as `read` is asked for."""

    def __init__(self, bench: Bench, read: Callable[[int], bytes], blocks: int) -> None:
        self._torch, self._read, self._blocks = bench.torch, read, blocks

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Any:
        return self._torch.frombuffer(bytearray(self._read(self._blocks)), dtype=self._torch.uint8)


def _disk(bench: Bench, *, in_memory: bool) -> Step:
    """One worker reads; the device needs half as long as reading a batch does."""
    cold = ColdFile(Path(bench.scratch) / "samples", bench.of(1 << 16, 64), bench.seed)
    blocks = bench.of(64, 2)
    device_s = took(lambda: cold.read(blocks)) * _sizes(bench)[1] * 0.5
    kept = cold.read(blocks) if in_memory else b""
    dataset = OnDisk(bench, (lambda _: kept) if in_memory else cold.read, blocks)
    program = loaded(bench, dataset, bench.of(1, 0), device_s)
    paced = float(cold.is_paced and not in_memory)

    def step() -> dict[str, float]:
        return {**program(), "paced_batches": paced}

    def end() -> None:
        program.close()
        cold.close()

    return Program(step, end)


def _slow_disk(bench: Bench) -> Step:
    return _disk(bench, in_memory=False)


def _in_memory(bench: Bench) -> Step:
    return _disk(bench, in_memory=True)


class Tokenised:
    """Texts cut into the longest known pieces, in Python, as they are asked for."""

    def __init__(self, bench: Bench) -> None:
        self._torch = bench.torch
        choice = random.Random(bench.seed)
        pieces = {"".join(choice.choices("etaoinshrdlu ", k=choice.randint(1, 6))) for _ in range(4000)}
        self._ids = {piece: i for i, piece in enumerate(sorted(pieces | set("etaoinshrdlu ")))}
        self._text = "".join(choice.choices("etaoinshrdlu ", k=bench.of(40_000, 200)))

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Any:
        return self._torch.tensor(self.tokens(index % 97))

    def tokens(self, begin: int) -> list[int]:
        """Numbers of the pieces of the text from `begin` on."""
        text, ids, found, at = self._text, self._ids, [], begin
        while at < len(text):
            size = next(n for n in range(6, 0, -1) if text[at : at + n] in ids)
            found.append(ids[text[at : at + size]])
            at += size
        return found


def _tokenise_s(texts: Tokenised) -> float:
    return took(lambda: texts.tokens(0))


def _tokeniser(bench: Bench) -> Step:
    """Tokenises in the thread that launches, then runs a step bound by memory, as decoding is."""
    texts = Tokenised(bench)
    work = hostwork.products_by_vector(bench, _tokenise_s(texts) * DEVICE_PER_HOST)
    return fed(bench, lambda: texts[0], work)


def _tokenised_ahead(bench: Bench) -> Step:
    texts = Tokenised(bench)
    device_s = _tokenise_s(texts) * DEVICE_PER_HOST
    batches = Batches(bench, Same(texts), 1, bench.of(4, 1))
    work = hostwork.products_by_vector(bench, device_s)
    return Program(fed(bench, batches.next, work), batches.close)


class Same:
    """A dataset whose samples are all its first: samples of one length."""

    def __init__(self, dataset: Tokenised) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Any:
        return self._dataset[0]


def _workload(name: str, cause: str, about: str, **more: Any) -> Workload:
    return Workload(
        name=name, family="host_input", label="host", cause=cause, truth="sections", about=about, **more
    )


WORKLOADS: tuple[Workload, ...] = (
    _workload(
        "loader_workers0",
        "main-thread",
        "A DataLoader without workers decodes each batch in the thread that launches.",
        causes=("input-pipeline",),
        setup=_workers0,
        fixed=_workers4,
        fix="num_workers=4",
        beneath="compute",
    ),
    _workload(
        "loader_python_decode",
        "input-pipeline",
        "Two workers decode in Python, three times slower than the device takes their batches.",
        setup=_python_decode,
        fixed=_decoded_before,
        fix="samples decoded beforehand",
        beneath="compute",
    ),
    _workload(
        "loader_slow_disk",
        "storage",
        "A worker reads cold blocks of 4 KiB one by one, which takes twice as long as the device does.",
        causes=("input-pipeline", "no-demand"),
        setup=_slow_disk,
        fixed=_in_memory,
        fix="samples kept in memory",
        beneath="compute",
    ),
    _workload(
        "loader_slow_worker",
        "input-pipeline",
        "Batches come in order, and one worker of four gets samples twelve times as expensive.",
        setup=_slow_worker,
        fixed=_even_workers,
        fix="samples of even cost for every worker",
        beneath="compute",
    ),
    _workload(
        "tokenizer_each_step",
        "main-thread",
        "Every decoding step waits until text was tokenised in the thread that launches.",
        causes=("tokeniser",),
        setup=_tokeniser,
        fixed=_tokenised_ahead,
        fix="text tokenised ahead by other processes",
        beneath="memory",
    ),
)
