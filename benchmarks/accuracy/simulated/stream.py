"""A run as the product's own recording stream: Hello, a Frame a second, Gaps where planted, an End."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from advisor import __version__
from advisor.telemetry.records import DeviceInfo, End, Frame, Gap, Gpm, Hello, Message, Sample
from benchmarks.accuracy.simulated.card import Card
from benchmarks.accuracy.simulated.node import HOST, Node
from benchmarks.accuracy.simulated.timeline import Activity, Meter, Run
from probes.ceilings import Ceilings

KEY = "GPU-00000000-0000-0000-0000-51b01a7ed000"
# Unix time at which every simulated recording starts; no recording was made then.
START_S = 1_900_000_000.0
NOTE = "synthetic: a simulated card and simulated programs; no GPU produced these figures"
INTERVAL_S, SUB_S, LOOK_EVERY = 1.0, 0.2, 5

_SUBS = round(INTERVAL_S / SUB_S)
# GPM's percentages carry two digits here; the real counters' resolution is not documented.
_DIGITS = 4
_NOISE = 0.004
_SILENT = "driver not answering"
_HIDDEN = "the driver did not fill the value in"
# Polling, timers and the sampler itself, over PCIe.
_BACKGROUND_BYTES_S = 1.5e6
_DRIVER_BYTES = 530 << 20


class Recording:
    """One run being watched. All randomness comes from `rng`: messages are to be taken once, in order."""

    def __init__(self, run: Run, pid: int, ceilings: Ceilings, rng: random.Random) -> None:
        self._run = run
        self._meter = Meter(run)
        self._rng = rng
        self._ceilings = ceilings
        self._node = Node(run, self._meter, KEY, pid, rng)
        self._util_s = rng.choice((1 / 6, 0.5, 1.0))
        self._energy_j = rng.uniform(1e6, 9e7)
        self._bytes = [rng.randrange(1 << 44), rng.randrange(1 << 44)]
        self._temp_c = 31.0 + 0.05 * self._power_w(0.0, min(run.seconds, 5.0)) - rng.uniform(0.0, 3.0)
        self._edge_s = self._counted_s = 0.0

    def messages(self) -> Iterator[Message]:
        """The whole stream."""
        yield self._hello()
        ticks = int(self._run.seconds / INTERVAL_S + 1e-9)
        silent = self._run.program.silent_s
        said = False
        for n in range(ticks + 1):
            if silent is not None and silent[0] < n * INTERVAL_S < silent[1]:
                if not said:
                    yield Gap(t_s=START_S + (n - 1) * INTERVAL_S, kind="silent", reason=_SILENT)
                    self._pass_silence(silent[1])
                said = True
                continue
            yield self._frame(n)
        yield End(t_s=START_S + ticks * INTERVAL_S, reason="recorded for the time asked for")

    def _hello(self) -> Hello:
        return Hello(
            t_s=START_S,
            advisor_version=__version__,
            driver_version="simulated",
            cuda_version="simulated",
            interval_s=INTERVAL_S,
            gpm_interval_s=SUB_S,
            host=HOST,
            devices=(device_info(self._run.card),),
            synthetic=True,
            note=NOTE,
            ceilings={KEY: self._ceilings},
        )

    def _frame(self, n: int) -> Frame:
        t_s = n * INTERVAL_S
        return Frame(
            seq=n,
            t_s=START_S + t_s,
            samples=(self._sample(t_s),),
            processes=self._node.look(t_s) if n % LOOK_EVERY == 0 else None,
            host=self._node.host_sample(t_s, START_S + t_s),
            cost_s=round(self._rng.uniform(0.003, 0.007), 5),
        )

    def _pass_silence(self, end_s: float) -> None:
        """No window spans a silence: the first after it begins at the first tick that was answered."""
        answered = int(end_s / INTERVAL_S) + 1
        self._edge_s = (answered - 1) * INTERVAL_S + 0.55

    def _sample(self, t_s: float) -> Sample:
        before_s = max(0.0, t_s - INTERVAL_S)
        after_s = max(t_s, 0.1)
        power_w = self._power_w(before_s, after_s) * self._rng.uniform(0.99, 1.01)
        util = self._meter.over(max(0.0, after_s - self._util_s), after_s)
        self._count(t_s, power_w)
        program = self._run.program
        hidden = {f"gpm.{name}": _HIDDEN for name in program.hidden}
        return Sample(
            key=KEY,
            t_s=START_S + t_s,
            gpu_util_frac=round(min(1.0, util.nvml), 2),
            mem_util_frac=self._controller(util),
            mem_used_bytes=_DRIVER_BYTES + self._node.memory_bytes,
            mem_total_bytes=self._run.card.memory_bytes,
            power_w=round(power_w, 3),
            energy_j=round(self._energy_j, 3),
            sm_mhz=self._clock(t_s),
            mem_mhz=self._run.card.mem_mhz,
            sm_mhz_app=self._run.card.boost_mhz,
            sm_mhz_customer_max=self._run.card.boost_mhz,
            temp_c=float(round(self._temp_c)),
            mem_temp_c=float(round(self._temp_c + 9.0)),
            throttle_reasons=self._reasons(t_s),
            pcie_gen=5 if program.process else 1,
            pcie_width=16,
            pcie_replays=0,
            pcie_tx_bytes=self._bytes[0],
            pcie_rx_bytes=self._bytes[1],
            ecc_corrected=0,
            ecc_uncorrected=0,
            remap_pending=False,
            remap_failure=False,
            remapped_rows=0,
            gpm=tuple(self._windows(t_s)),
            missing=hidden,
        )

    def _controller(self, util: Activity) -> float:
        """NVML's memory-controller time: any traffic within its coarse interval counts as all of it."""
        active = util.counters["dram_active"]
        return round(min(1.0, active**0.85), 2) if active > 0.0 else 0.0

    def _power_w(self, start_s: float, end_s: float) -> float:
        card = self._run.card
        held_w = card.context_w if self._run.program.process else 0.0
        activity = self._meter.over(start_s, max(end_s, start_s + 0.05))
        return card.idle_w + held_w + activity.dynamic_w

    def _count(self, t_s: float, power_w: float) -> None:
        """Move the counters that go on whether or not somebody looks, and the temperature."""
        before_s, self._counted_s = self._counted_s, t_s
        elapsed_s = t_s - before_s
        if elapsed_s <= 0.0:
            return
        self._energy_j += self._power_w(before_s, t_s) * elapsed_s
        self._temp_c += (31.0 + 0.05 * power_w - self._temp_c) * min(1.0, elapsed_s / 8.0)
        activity = self._meter.over(before_s, t_s)
        self._bytes[0] += round((activity.tx_bytes_s + _BACKGROUND_BYTES_S) * elapsed_s)
        self._bytes[1] += round((activity.rx_bytes_s + _BACKGROUND_BYTES_S) * elapsed_s)

    def _clock(self, t_s: float) -> float:
        card, phase = self._run.card, self._run.running_at(t_s)
        if not self._run.program.process:
            return card.idle_mhz
        if phase is None or self._run.clocks[phase] == card.boost_mhz:
            return card.boost_mhz
        return 15.0 * round(self._run.mhz_at(phase, t_s) * self._rng.uniform(0.99, 1.01) / 15.0)

    def _reasons(self, t_s: float) -> tuple[str, ...]:
        phase = self._run.running_at(t_s)
        if phase is None:
            return ("gpu_idle",)
        return ("sw_power_cap",) if self._run.clocks[phase] < self._run.card.boost_mhz else ()

    def _windows(self, t_s: float) -> Iterator[Gpm]:
        """The windows since the last tick. Samples are taken some milliseconds off the mark."""
        for n in range(_SUBS):
            mark_s = t_s - INTERVAL_S + (n + 1) * SUB_S
            end_s = min(self._run.seconds, mark_s + self._rng.uniform(-0.004, 0.004))
            if end_s - self._edge_s < 0.1:
                continue
            yield self._window(self._edge_s, end_s)
            self._edge_s = end_s

    def _window(self, start_s: float, end_s: float) -> Gpm:
        activity = self._meter.over(start_s, end_s)
        counters = self._read(activity)
        for name in self._run.program.hidden:
            del counters[name]
        return Gpm(
            t_s=round(START_S + end_s, 6),
            duration_s=round(end_s - start_s, 6),
            pcie_tx_bytes_s=self._link(activity.tx_bytes_s),
            pcie_rx_bytes_s=self._link(activity.rx_bytes_s),
            nvlink_rx_bytes_s=0,
            nvlink_tx_bytes_s=0,
            **counters,
        )

    def _read(self, activity: Activity) -> dict[str, float]:
        """Counters as GPM gives them, with noise; none reads more than at saturation."""
        times = {"gr_active": activity.gr, "sm_active": activity.sm, "sm_occupancy": activity.occupancy}
        return {**self._noisy(times, 0.25 * _NOISE), **self._noisy(activity.counters, _NOISE)}

    def _noisy(self, values: Mapping[str, float], noise: float) -> dict[str, float]:
        most = self._run.card.saturated
        return {
            name: round(min(most(name), max(0.0, value * self._rng.gauss(1.0, noise))), _DIGITS)
            if value
            else 0.0
            for name, value in values.items()
        }

    def _link(self, bytes_s: float) -> int:
        return round((bytes_s + _BACKGROUND_BYTES_S) * self._rng.uniform(0.99, 1.02))


def device_info(card: Card) -> DeviceInfo:
    """The card as a driver would describe it. It bears the name of the model it is like, so that data-sheet
    figures and prices can be looked up; `Hello.synthetic` and its note say what it is."""
    limit_w = card.power_limit_w
    return DeviceInfo(
        key=KEY,
        index=0,
        name="NVIDIA H100 80GB HBM3",
        uuid=KEY,
        memory_total_bytes=card.memory_bytes,
        compute_capability="9.0",
        sm_count=card.sms,
        power_limit_w=limit_w,
        power_limit_default_w=700.0,
        power_limit_max_w=700.0,
        sm_mhz_max=card.boost_mhz,
        sm_mhz_app_default=card.boost_mhz,
        mem_mhz_max=card.mem_mhz,
        pcie_gen_max=5,
        pcie_width_max=16,
        numa_node=0,
        ecc_enabled=True,
        persistence=True,
        gpm=True,
    )
