#!/usr/bin/env python3
"""Record every labelled workload on this node's GPU, with its truth.

    python -m benchmarks.workloads.record --out DIR [--only NAME,NAME] [--seconds 8] [--fix-seconds 3]
        [--budget 560] [--device 0] [--gpm-interval 0.2] [--probes probes.json] [--resume DIR|TAR.GZ] [--dry]

Each workload runs in a process of its own while the program's own feed and recorder watch it; then its known
fix runs unwatched, for its speed. Writes DIR/workloads/: NAME.jsonl.gz (the recording), NAME.truth.json, and
session.json with what was skipped and why; and all of it as DIR/workloads.tar.gz. Stops by itself within the
budget (seconds). `--resume` takes over what an earlier session recorded on the same card, so that several
commands make one session.

Ceilings come from --probes (a file by `python -m probes --json -o probes.json`), which is kept in the session
and its archive; else from that of the session that --resume names; else, and for another card than it is of,
from this user's store of `advisor probe`. Without any of them nothing can be held against a ceiling, and such
truths stay unconfirmed.

Needs torch, cupy for some workloads, and the project's base dependencies but textual and rich-click. Reads
only: sets no clocks, power or modes. --dry runs tiny workloads on the CPU and labels everything as synthetic;
what it watches is a GPU of the driver's or, without one, of the simulated library (tests/nvml_stub).

Exit codes: 0 something is recorded, 1 nothing is, 2 wrong usage, 3 nothing can be measured here, 130 and 143
ended by a signal (what was recorded by then is kept and packed).
"""

from __future__ import annotations

import argparse
import datetime
import math
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from advisor.ceilings import measured
from advisor.reports.redact_text import redact_command
from advisor.store import Store, StoreError
from advisor.telemetry.feed import NoFeedError
from advisor.telemetry.lines import RecordingError
from advisor.telemetry.records import DeviceInfo, Hello
from benchmarks.workloads import filing
from benchmarks.workloads.catalogue import WORKLOADS
from benchmarks.workloads.child import Child, ChildError, Where
from benchmarks.workloads.hostwork import tie_to_parent
from benchmarks.workloads.run import positive
from benchmarks.workloads.spec import Account, Session, Truth, Workload
from benchmarks.workloads.truth import truth_of
from benchmarks.workloads.watch import Watched, WatchError, Watching, node, watch
from probes.ceilings import Ceilings

START_S, FINISH_S = 120.0, 30.0
# What a process gets for its start or its end though no time is left.
LEAST_S = 2.0
# Packing, and the driver's own time.
RESERVE_S = 10.0
# What starting and ending a process takes, until some have shown it; and what is added to their mean.
FIRST_OVERHEAD_S, SPARE_S = 20.0, 5.0
NOTHING, USAGE, CANNOT_MEASURE = 1, 2, 3


class UsageError(Exception):
    """The command asks for what cannot be; the message says what."""


class CannotMeasureError(Exception):
    """Nothing can be measured here; the message says why."""


class Plan(NamedTuple):
    """A session's own choices. names: what to record, most wanted first. budget_s: from `begin_s` on."""

    names: tuple[str, ...]
    seconds: float
    fix_seconds: float
    budget_s: float
    begin_s: float

    def left_s(self) -> float:
        """Seconds left but for packing."""
        return self.budget_s - RESERVE_S - (time.monotonic() - self.begin_s)


class Recording:
    """A session at work: what is filed so far, in `folder`, and what was skipped and why."""

    def __init__(self, plan: Plan, session: Session, folder: Path, watching: Watching, where: Where) -> None:
        self.plan, self.session, self.folder = plan, session, folder
        self.watching, self.where = watching, where
        self.done = set(filing.filed(folder))
        self.skipped = {name: why for name, why in session.skipped.items() if name not in self.done}
        self._overheads_s: list[float] = []
        self._versions: dict[str, str | None] = {"torch": session.torch, "cupy": session.cupy}

    def run(self) -> None:
        """Every workload that is not recorded yet and that time is left for."""
        for name in self.plan.names:
            if name in self.done:
                continue
            workload = WORKLOADS[name]
            wanted_s = self._wanted_s(workload)
            if wanted_s > self.plan.left_s():
                why = f"no time was left of {self.plan.budget_s:.0f} s: it takes about {wanted_s:.0f} s"
                self.skipped[name] = why
                print(f"{name}: skipped, {why}", flush=True)
            else:
                self._try(workload)
            self.file()

    def file(self) -> None:
        """Write session.json as things stand."""
        filing.write_session(
            self.folder, msgspec.structs.replace(self.session, skipped=self.skipped, **self._versions)
        )

    def _wanted_s(self, workload: Workload) -> float:
        known = self._overheads_s
        overhead_s = math.fsum(known) / len(known) + SPARE_S if known else FIRST_OVERHEAD_S
        return self._stepping_s(workload) + _processes(workload) * overhead_s

    def _stepping_s(self, workload: Workload) -> float:
        return self.plan.seconds + (self.plan.fix_seconds if workload.fixed else 0.0)

    def _try(self, workload: Workload) -> None:
        begin = time.monotonic()
        try:
            truth = self._one(workload)
        except (ChildError, WatchError, NoFeedError, RecordingError) as error:
            self.skipped[workload.name] = str(error)
            filing.remove(self.folder, workload.name)
            print(f"{workload.name}: skipped, {error}", flush=True)
            return
        except BaseException:
            filing.remove(self.folder, workload.name)
            raise
        filing.write_truth(self.folder, truth)
        self.done.add(workload.name)
        self.skipped.pop(workload.name, None)
        self._learn(workload, time.monotonic() - begin)

    def _learn(self, workload: Workload, took_s: float) -> None:
        """What each process took beyond its steps."""
        if _processes(workload):
            beyond_s = took_s - self._stepping_s(workload)
            self._overheads_s.append(max(0.0, beyond_s / _processes(workload)))

    def _one(self, workload: Workload) -> Truth:
        path = self.folder / f"{workload.name}{filing.RECORDING}"
        watched, base = self._base(workload, path)
        ceilings = watched.hello.ceilings.get(self.watching.key)
        truth = self._truth(workload, base, self._fixed(workload), ceilings, path.name)
        _say(truth, watched)
        return truth

    def _base(self, workload: Workload, path: Path) -> tuple[Watched, Account]:
        if not workload.process:
            watched = watch(self.watching.feed(), self.watching, self.plan.seconds, path)
            if watched.pids and not self.watching.dry:
                raise WatchError(f"{len(watched.pids)} of somebody else's processes were on the device")
            return watched, Account(wall_s=self.plan.seconds)
        with Child(workload.name, "base", self.plan.seconds + START_S, self.where) as child:
            self._note(child.started(self._within(START_S)))
            watched = watch(self.watching.feed(), self.watching, self.plan.seconds, path)
            child.enough()
            return watched, child.finish(self._within(FINISH_S))

    def _fixed(self, workload: Workload) -> Account | None:
        """How the fix ran, unwatched. That it did not is part of the truth, not a reason to skip."""
        if workload.fixed is None:
            return None
        try:
            with Child(workload.name, "fix", self.plan.fix_seconds, self.where) as child:
                child.started(self._within(START_S))
                return child.finish(self.plan.fix_seconds + self._within(FINISH_S))
        except ChildError as error:
            return Account(error=str(error))

    def _within(self, seconds: float) -> float:
        """So long, or what is left of the budget where that is less."""
        return min(seconds, max(LEAST_S, self.plan.left_s()))

    def _note(self, told: dict[str, Any]) -> None:
        for name in ("torch", "cupy"):
            self._versions[name] = told.get(name) or self._versions[name]

    def _truth(
        self, w: Workload, base: Account, fixed: Account | None, ceilings: Ceilings | None, recording: str
    ) -> Truth:
        return truth_of(
            w,
            base,
            fixed,
            ceilings,
            recording=recording,
            device=self.session.device,
            synthetic=self.session.synthetic,
        )


def _processes(workload: Workload) -> int:
    return bool(workload.setup) + bool(workload.fixed)


def _say(truth: Truth, watched: Watched) -> None:
    """One line for whoever waits: what it is by its own account, and what was made of it."""
    first = watched.diagnosis.verdicts[0] if watched.diagnosis.verdicts else None
    verdict = f"{first.class_}/{first.cause} at {first.confidence:.2f}" if first else "no verdict"
    known = "confirmed" if truth.confirmed else "NOT confirmed"
    print(
        f"{truth.name}: {truth.label}/{truth.cause}, {known} ({truth.because}); verdict {verdict}", flush=True
    )


def device_of(hello: Hello, index: int) -> DeviceInfo:
    """The whole GPU of that index. Raises UsageError where there is none, CannotMeasureError under MIG."""
    gpus = {info.index: info for info in hello.devices if info.parent_key is None}
    if index not in gpus:
        raise UsageError(
            f"there is no GPU {index} here; the driver lists {', '.join(map(str, sorted(gpus)))}"
        )
    if gpus[index].mig_enabled:
        raise CannotMeasureError(f"GPU {index} is divided by MIG; workloads are recorded on whole GPUs")
    return gpus[index]


def chosen(only: str) -> tuple[str, ...]:
    """Names to record, in the catalogue's order. Raises UsageError for one that is not in it."""
    asked = [name.strip() for name in only.split(",") if name.strip()]
    unknown = [name for name in asked if name not in WORKLOADS]
    if unknown:
        raise UsageError(f"there is no workload called {', '.join(unknown)}; the runner's --list names them")
    return tuple(name for name in WORKLOADS if not asked or name in asked)


def store_of(probes: Path, info: DeviceInfo, folder: Path) -> Store:
    """Ceilings of a file of probes, kept in `folder`; this user's own where that holds none of this card.

    Raises UsageError and filing.FilingError.
    """
    if not probes.exists():
        return Store()
    store = Store(folder)
    try:
        for report in filing.probe_run(probes).reports:
            store.add(report)
    except StoreError as error:
        raise UsageError(f"{probes} cannot be kept: {error}") from error
    return store if store.latest(info.key) is not None else Store()


def session_of(args: argparse.Namespace, hello: Hello, info: DeviceInfo) -> Session:
    """What session.json begins with. Its device says so where it is not the one that did the work."""
    synthetic = args.dry or hello.synthetic
    return Session(
        device=f"simulated {info.name}" if synthetic else info.name,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        driver=hello.driver_version,
        torch=None,
        cupy=None,
        synthetic=synthetic,
        seconds=args.seconds,
        gpus=(info.uuid,),
        command=redact_command(["python", "-m", "benchmarks.workloads.record", *sys.argv[1:]])[0],
    )


def record(args: argparse.Namespace) -> int:
    """Record what `args` ask for. Raises UsageError, CannotMeasureError and filing.FilingError."""
    begin_s = time.monotonic()
    plan = Plan(chosen(args.only), args.seconds, args.fix_seconds, args.budget, begin_s)
    try:
        hello = node(args.gpm_interval)
    except NoFeedError as error:
        raise CannotMeasureError(_cannot(error, dry=args.dry)) from error
    info = device_of(hello, args.device)
    given = filing.probe_run(args.probes) if args.probes else None
    with tempfile.TemporaryDirectory(prefix="probes-") as kept:
        folder = args.out / "workloads"
        session = filing.taken_over(args.resume, folder, session_of(args, hello, info))
        if given is not None:
            filing.add_probes(folder / filing.PROBES, given)
        store = store_of(folder / filing.PROBES, info, Path(kept) / "ceilings")
        if info.key not in measured((info,), hello.driver_version, store)[0]:
            print(
                f"{info.name} ({info.uuid}) was not probed: what rests on a rate stays unconfirmed",
                flush=True,
            )
        where = Where(device="cpu" if args.dry else "cuda", small=args.dry, gpu=info.uuid)
        watching = Watching(info.key, args.gpm_interval, store, args.dry)
        recording = Recording(plan, session, folder, watching, where)
        try:
            recording.run()
        finally:
            recording.file()
            packed = filing.pack(folder)
    print(f"{len(recording.done)} recorded, {len(recording.skipped)} skipped; wrote {packed}")
    return 0 if recording.done else NOTHING


def _cannot(error: NoFeedError, *, dry: bool) -> str:
    """Why nothing can be recorded. A dry run needs no GPU, but something that answers for one."""
    if dry:
        return (
            f"{error}. A dry run works on the CPU and still watches a GPU: put the simulated library first, "
            "LD_LIBRARY_PATH=$(python -m tests.nvml_stub.build) with ADVISOR_NVML_SCENARIO=FILE"
        )
    return f"{error}. {error.fix}".strip()


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.workloads.record",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default="", help="names with commas between them")
    parser.add_argument("--seconds", type=positive, default=8.0, help="of each recording")
    parser.add_argument("--fix-seconds", type=positive, default=3.0, help="for the speed of each fix")
    parser.add_argument("--budget", type=positive, default=560.0)
    parser.add_argument("--device", type=int, default=0, help="the driver's index")
    parser.add_argument("--gpm-interval", type=positive, default=0.2)
    parser.add_argument("--probes", type=Path)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--tied", action="store_true", help="end with the process that started this one")
    return parser.parse_args(argv)


def _end(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


def main(argv: list[str] | None = None) -> int:
    """Record, and say in one sentence why not."""
    args = _arguments(argv)
    if args.tied:
        tie_to_parent()
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    try:
        return record(args)
    except (UsageError, filing.FilingError) as error:
        print(f"record: {error}", file=sys.stderr)
        return USAGE
    except CannotMeasureError as error:
        print(f"record: {error}", file=sys.stderr)
        return CANNOT_MEASURE
    except OSError as error:
        print(f"record: {error}", file=sys.stderr)
        return NOTHING


if __name__ == "__main__":
    sys.exit(main())
