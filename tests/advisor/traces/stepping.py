"""Small made-up training loops with known steps, ranks and faults: synthetic, no GPU made these figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from advisor.traces.analyse import Analysis, analyse
from advisor.traces.read import read
from tests.advisor.traces.made import PID, Maker

KERNEL_US = 100.0
BACKWARD_TID = PID + 1


def loop(
    data_us: Sequence[float],
    kernel_us: Sequence[float] | None = None,
    *,
    first: int = 10,
    lag_us: float = 0.0,
    name: str = "synthetic_sgemm",
    mark: bool = True,
    kernels: int = 4,
    **about: object,
) -> Maker:
    """A synthetic loop: each step waits `data_us` for its batch, then launches `kernels` of `kernel_us` each.

    The device does its work `lag_us` after it was launched, so that with a large lag the host runs ahead.
    """
    made = Maker(**about)  # type: ignore[arg-type]
    at = 0.0
    for index, wait in enumerate(data_us):
        each = KERNEL_US if kernel_us is None else kernel_us[index]
        long = wait + 20.0 + kernels * each
        if mark:
            made.step(first + index, at, long)
        made.annotation("enumerate(DataLoader)#_BaseDataLoaderIter.__next__", at, wait)
        for kernel in range(kernels):
            launch = at + wait + 2.0 * kernel
            start = at + wait + 10.0 + each * kernel + lag_us
            made.launched(f"{name}_{kernel}", launch, start, each, launch_dur_us=1.0)
        at += long
    return made


def analysed(folder: Path, *made: Maker) -> Analysis:
    """The analysis of made-up files, one a maker."""
    paths = [one.write(folder / f"synthetic-{index}.json") for index, one in enumerate(made)]
    return analyse([read(path) for path in paths], lambda *_: None)


def rank(
    number: int,
    arrivals_us: Sequence[float],
    ends_us: Sequence[float],
    *,
    of: int = 2,
    clock_us: float = 0.0,
    keep: Callable[[int], bool] = lambda _: True,
) -> Maker:
    """A synthetic rank that computes until it arrives at each all-reduce, which ends for all at once.

    clock_us: how far this host's clock is ahead. keep: which collectives the capture holds.
    """
    made = Maker(rank=number, world_size=of)
    before = 0.0
    for index, (arrival, end) in enumerate(zip(arrivals_us, ends_us, strict=True)):
        at = before + clock_us
        made.launched("synthetic_sgemm", at, at + 5.0, arrival - before - 5.0, device=number)
        if keep(index):
            made.launched(
                "ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclDevComm*)",
                at + 2.0, arrival + clock_us, end - arrival, device=number, stream=20,
            )  # fmt: skip
        before = end
    return made
