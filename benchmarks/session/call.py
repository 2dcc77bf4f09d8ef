"""One call: the parts that are asked for, in the time that there is, with what earlier calls left."""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from advisor.ceilings import measured
from advisor.reports.redact_text import redact_command
from advisor.store import Store
from advisor.telemetry.records import DeviceInfo, Hello
from benchmarks.session import archive
from benchmarks.session.archive import FACTS, SUMMARY
from benchmarks.session.clock import Clock
from benchmarks.session.facts import facts
from benchmarks.session.slowdown import slow_down
from benchmarks.session.steps import Steps
from benchmarks.workloads import filing, record
from benchmarks.workloads.child import Where
from benchmarks.workloads.watch import Watching

STEP_S = 420.0
# What a recording, a probe of the ceilings alone, and one and two rounds of peers take at least.
RECORDING_S, PROBE_S, ROUND_S, ROUNDS_S = 30.0, 30.0, 120.0, 300.0


class Call:
    """A call at work in a folder of its own, `work`. info: the GPU. out: where the archive is left."""

    def __init__(
        self, args: argparse.Namespace, hello: Hello, info: DeviceInfo, work: Path, clock: Clock
    ) -> None:
        self.args, self.hello, self.info, self.work, self.clock = args, hello, info, work, clock
        self.steps = Steps(args.out / f"{archive.NAME}.log", self.save)
        self.new = record.session_of(args, hello, info)
        self.noted: dict[str, Any] = {}
        self.summary: dict[str, Any] = {"calls": []}

    def begin(self) -> None:
        """Take over what earlier calls left. Raises filing.FilingError where that is of another model, or one
        of the two is synthetic and the other is not."""
        if self.args.resume is not None:
            archive.unpack(self.args.resume, self.work)
        self.summary = archive.read_summary(self.work) or self.summary
        self._check()
        self.noted = {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "command": redact_command(["python", *sys.argv])[0],
            "gpu": self.info.uuid,
            "driver": self.hello.driver_version,
            "steps": {},
        }
        self.summary |= {"device": self.new.device, "measured": not self.new.synthetic}
        self.summary["calls"] = [*self.summary["calls"], self.noted]

    def _check(self) -> None:
        device = self.summary.get("device", self.new.device)
        was_synthetic = not self.summary.get("measured", not self.new.synthetic)
        old = msgspec.structs.replace(self.new, device=device, synthetic=was_synthetic)
        session = self.work / "workloads" / filing.SESSION
        if session.exists():
            old = filing.read_session(session)
        filing.check(old, self.new, self.args.resume or self.work)

    def run(self) -> int:
        """Everything that is asked for. Exit code 0, or 1 where one of it failed."""
        part = self.args.part
        if not (self.work / FACTS).exists():
            archive.write_json(self.work / FACTS, facts(self.args.device))
        if part in ("all", "probes"):
            self._probes("probes", quick=self.args.dry)
        if part in ("all", "loads"):
            self._loads()
        if part != "loads":
            self._peers()
        return 0 if all(_succeeded(step) for step in self.noted["steps"].values()) else 1

    def save(self) -> None:
        """Leave everything so far in the archive; where that fails, the one from before stays."""
        self.noted["wall_s"] = round(self.clock.passed_s(), 1)
        try:
            archive.write_json(self.work / SUMMARY, self.summary)
            packed = archive.pack(self.work, self.args.out)
        except OSError as error:
            self.steps.say(f"gpu_session: the archive could not be written: {error}")
            return
        if packed.stat().st_size > archive.LARGE_BYTES:
            self.steps.say(f"gpu_session: {packed} is larger than {archive.LARGE_BYTES >> 20} MiB")

    def _step(self, name: str, arguments: list[str], least_s: float) -> bool:
        """Run a module where at least `least_s` are left, note what came of it, and save; whether it ran."""
        left_s = self.clock.left_s()
        if left_s < least_s:
            self._note(name, {"skipped": f"{max(0.0, left_s):.0f} s were left, and it takes {least_s:.0f}"})
            return False
        limit_s = left_s if name == "loads" else min(STEP_S, left_s)
        self._note(name, {"error": "interrupted"})
        self._note(name, self.steps.run(arguments, limit_s))
        return True

    def _note(self, name: str, found: dict[str, Any]) -> None:
        self.noted["steps"][name] = found
        if "skipped" in found or "error" in found:
            words = found.get("skipped") or found["error"]
            if words != "interrupted":
                self.steps.say(f"gpu_session: {name}: {words}")
        self.save()

    def _probes(self, name: str, *, quick: bool, names: tuple[str, ...] = ()) -> None:
        """Probe this card and add that to what is known of this and other cards."""
        file = self.work / f".{name}.json"
        where = "cpu" if self.args.dry else str(self.args.device)
        names = ("host", "cores") if self.args.dry else names
        mode = ["--quick"] if quick else []
        command = ["probes", *names, "--device", where, *mode, "--json", "-o", str(file)]
        if not self._step(name, command, PROBE_S):
            return
        try:
            filing.add_probes(self.work / filing.PROBES, filing.probe_run(file))
        except filing.FilingError as error:
            self._note(name, {**self.noted["steps"][name], "error": str(error)})
        self.save()

    def _is_probed(self) -> bool:
        """Whether ceilings of this very card are known that still hold."""
        file = self.work / filing.PROBES
        if self.args.dry:
            return file.exists()
        with tempfile.TemporaryDirectory(prefix="probes-") as kept:
            store = record.store_of(file, self.info, Path(kept) / "ceilings")
            found, _ = measured((self.info,), self.hello.driver_version, store)
        ceilings = found.get(self.info.key)
        return ceilings is not None and ceilings.stale is None

    def _loads(self) -> None:
        """Record every workload that is not recorded yet and fits; before that, probe the ceilings of a card
        that was not; after it, see what watching costs where that is asked for."""
        if not self._is_probed():
            self._probes("ceilings", quick=True, names=("bandwidth", "tensor"))
        self._step("loads", self._record_command(), RECORDING_S)
        if self.args.slow_down:
            where = Where(device="cpu" if self.args.dry else "cuda", small=self.args.dry, gpu=self.info.uuid)
            watching = Watching(self.info.key, 0.2, Store(), self.args.dry)
            self.summary["slow_down"] = slow_down(where, watching, min(6.0, self.args.seconds), self.clock)
            self.save()

    def _record_command(self) -> list[str]:
        args = self.args
        command = ["benchmarks.workloads.record", "--tied", "--out", str(self.work)]
        command += ["--budget", f"{max(1.0, self.clock.left_s()):.0f}", "--device", str(args.device)]
        command += ["--seconds", str(args.seconds), "--fix-seconds", str(args.fix_seconds)]
        if (self.work / filing.PROBES).exists():
            command += ["--probes", str(self.work / filing.PROBES)]
        if (self.work / "workloads" / filing.SESSION).exists():
            command += ["--resume", str(self.work)]
        return [*command, *(["--only", args.only] if args.only else []), *(["--dry"] if args.dry else [])]

    def _peers(self) -> None:
        where = "cpu" if self.args.dry else str(self.args.device)
        rounds = 2 if self.clock.left_s() >= ROUNDS_S and not self.args.dry else 1
        command = [
            "benchmarks.peers.gpu",
            "--out",
            str(self.work),
            "--device",
            where,
            "--rounds",
            str(rounds),
        ]
        self._step("peers", [*command, *(["--dry", "--mode", "quick"] if self.args.dry else [])], ROUND_S)


def _succeeded(step: dict[str, Any]) -> bool:
    return "skipped" in step or step.get("rc") == 0


def run(args: argparse.Namespace, hello: Hello, info: DeviceInfo, clock: Clock) -> int:
    """One call, whose archive is left in `args.out` however it ends. Raises filing.FilingError."""
    with tempfile.TemporaryDirectory(prefix=f"{archive.NAME}-", ignore_cleanup_errors=True) as work:
        call = Call(args, hello, info, Path(work), clock)
        call.begin()
        try:
            return call.run()
        finally:
            call.save()
            call.steps.say(f"wrote {args.out / archive.ARCHIVE}")
