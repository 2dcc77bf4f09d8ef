"""One look at inference engines: beside the node's GPUs where they can be watched, alone elsewhere."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from advisor import __version__
from advisor.cli import output
from advisor.cli.delivery import Delivery, check_writable, hand_over
from advisor.cli.diagnostics import CliError, ExitCode, Progress, cannot_measure
from advisor.cli.durations import format_duration
from advisor.cli.inputs import load_config
from advisor.cli.session import POLL_S, Look, make_monitor, selected_keys, with_ceilings
from advisor.serving.document import ServingReport, Unread
from advisor.serving.fetch import Target, parse_url
from advisor.serving.tracks import EngineTracks, slo_of
from advisor.serving.watch import EngineWatch, ServingFeed
from advisor.telemetry.feed import Feed, NoFeedError
from advisor.telemetry.records import End, EngineLook, Hello
from rules.serving import ServingFigures
from rules.serving_figures import Money
from rules.slo import parse_slo

if TYPE_CHECKING:
    from advisor.config import LoadedConfig
    from advisor.document import Diagnosis
    from advisor.monitor import Monitor

# How the codes of the rules for serving begin.
FAMILY = "SERVE"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
TOKEN = "ADVISOR_SERVING_TOKEN"  # noqa: S105 - the name of a variable, no secret
_HOW = "name one: advisor serving http://HOST:PORT (vLLM 8000, SGLang 30000, llama.cpp 8080, Triton 8002)"
_CHECK = (
    "check the address, and that the engine publishes its metrics (vLLM always; SGLang --enable-metrics; "
    "llama-server --metrics)"
)
# How long the last look may take, beyond the time that was asked for.
_LAST_S = 4.0


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    urls: tuple[str, ...] = ()
    duration_s: float = 30.0
    interval_s: float = 5.0
    slo: str | None = None
    price: float | None = None
    gpus: int | None = None
    gpu: str | None = None
    watch: bool = False
    as_json: bool = False
    out: str | None = None
    keep: bool = False


def serve(asked: Asked) -> int:
    """Look, print, and give the exit code."""
    wanted = Delivery(form="json" if asked.as_json else None, out=asked.out)
    _check(asked, wanted)
    config = load_config(slo=_objective(asked.slo))
    targets = [_target(url) for url in asked.urls] or None
    session = _Session(asked, config, targets)
    try:
        session.start()
        return session.run(wanted)
    finally:
        session.close()


def _check(asked: Asked, wanted: Delivery) -> None:
    check_writable(wanted)
    if not 0.2 <= asked.interval_s <= 3600.0:
        raise CliError(f"--interval {asked.interval_s:g}s is not from 0.2s to 1h", "give --interval 5s")
    if not asked.watch and asked.duration_s < asked.interval_s:
        raise CliError(
            f"--duration {format_duration(asked.duration_s)} is shorter than the interval of "
            f"{format_duration(asked.interval_s)}: a rate takes two looks",
            "give a longer --duration or a shorter --interval",
        )
    if asked.gpus is not None and asked.price is None:
        raise CliError("--gpus says how many GPUs --price is for", "give --price as well")
    if asked.watch and asked.out not in (None, "-"):
        raise CliError("--watch prints again and again, so it takes no file", "leave out -o or --watch")


def _objective(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return parse_slo(text).text
    except ValueError as error:
        raise CliError(f"--slo: {error}") from error


def _target(url: str) -> Target:
    try:
        return parse_url(url, os.environ.get(TOKEN))
    except ValueError as error:
        raise CliError(f"the URL cannot be asked: {error}", "write it as http://localhost:8000") from error


class _Session:
    """The engines, and the node's GPUs beside them where there are any that can be watched."""

    def __init__(self, asked: Asked, config: LoadedConfig, targets: Sequence[Target] | None) -> None:
        self._asked = asked
        self._config = config
        self._named = targets
        self._watch = EngineWatch(targets, every_s=asked.interval_s)
        self._tracks = EngineTracks(slo_of(config.slo))
        self._feed: Feed | None = None
        self._monitor: Monitor | None = None
        self._no_gpu: str | None = None
        self._begun_s = time.time()
        self.over = False

    def start(self) -> None:
        """Begin to watch; without GPUs the engines alone are asked."""
        feed = ServingFeed(with_ceilings(_sampler(self._config), self._config), self._watch)
        try:
            hello = feed.start()
        except NoFeedError as error:
            self._no_gpu = str(error)
            self._watch.start()
            return
        self._feed = feed
        self._begin(hello)

    def _begin(self, hello: Hello) -> None:
        look = Look(gpu=self._asked.gpu, price=self._asked.price)
        window_s = max(self._asked.duration_s, self._asked.interval_s) if self._asked.watch else None
        self._monitor = make_monitor(hello, msgspec.structs.replace(look, window_s=window_s), self._config)
        if self._asked.gpu is not None:
            keys = selected_keys(hello, look)
            self._watch.keys = tuple(keys if keys is not None else (d.key for d in hello.devices))
        self._monitor.feed(hello)

    def close(self) -> None:
        """Stop asking and watching."""
        self._watch.close()
        if self._feed is not None:
            self._feed.close()

    def run(self, wanted: Delivery) -> int:
        """Print one report at the end, or with --watch one at every interval."""
        if not self._asked.watch:
            interrupted = self._collect(self._asked.duration_s)
            self._whole()
            code = self._print(wanted)
            return ExitCode.INTERRUPTED if interrupted and code is ExitCode.OK else code
        while not self._collect(self._asked.interval_s) and not self.over:
            self._tracks.forget(time.time() - self._asked.duration_s)
            self._print(wanted, again=True)
        return ExitCode.INTERRUPTED

    def _collect(self, duration_s: float) -> bool:
        """Watch for a while; True when the person ended it."""
        progress, until_s = Progress(False if self._asked.watch else None), time.monotonic() + duration_s
        try:
            while (left_s := until_s - time.monotonic()) > 0 and not self.over:
                self._step(min(POLL_S, left_s))
                progress.show(f"asking engines, {left_s:.0f}s left, Ctrl-C ends it early")
        except KeyboardInterrupt:
            return True
        finally:
            progress.clear()
        return False

    def _step(self, timeout_s: float) -> None:
        if self._feed is None or self._monitor is None:
            time.sleep(timeout_s)
            for look in self._watch.taken():
                self._tracks.add(look)
            return
        for message in self._feed.poll(timeout_s):
            self._monitor.feed(message)
            if isinstance(message, EngineLook):
                self._tracks.add(message)
            self.over = self.over or isinstance(message, End)

    def _whole(self) -> None:
        """Ask once more, so that the figures reach to the end of the time."""
        done, until_s = self._watch.rounds, time.monotonic() + _LAST_S
        self._watch.ask_now()
        while self._watch.rounds == done and time.monotonic() < until_s and not self.over:
            self._step(0.05)
        self._step(0.0)

    def _print(self, wanted: Delivery, *, again: bool = False) -> ExitCode:
        report = self.report()
        if not report.engines and not again:
            self._complain(report)
        if self._asked.as_json and again:
            output.write_record(self._shown(report, wanted), indent=None)
            return ExitCode.OK
        home = "\x1b[H\x1b[2J" if again and output.is_terminal() else ""
        shown = self._shown(report, wanted)
        hand_over(wanted, lambda width, color, unicode: home + _drawn(shown, wanted, width, color, unicode))
        return ExitCode.OK if report.engines else ExitCode.CANNOT_MEASURE

    def _shown(self, report: ServingReport, wanted: Delivery) -> ServingReport:
        return report if self._asked.keep or not self._config.redact else _redacted(report, wanted)

    def _complain(self, report: ServingReport) -> None:
        """Raise what to say where no engine answered."""
        said = "\n".join(f"{one.endpoint}: {one.reason}" for one in report.unread)
        if self._named is None:
            none = "no inference engine was found on this node's loopback ports"
            raise cannot_measure(f"{none}\n{said}" if said else none, _HOW)
        raise cannot_measure(
            f"no engine could be read\n{said}".strip(),
            "check the address, and that the engine's metrics are on (docs/serving.md)",
        )

    def report(self) -> ServingReport:
        """The document of what was seen."""
        document = self._monitor.diagnosis() if self._monitor is not None else None
        engines = self._priced(document)
        return ServingReport(
            advisor_version=__version__,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            t_start_s=min((e.t_start_s for e in engines), default=self._begun_s),
            t_end_s=max((e.t_end_s for e in engines), default=time.time()),
            engines=engines,
            unread=tuple(Unread(endpoint=e, reason=why) for e, why in sorted(self._tracks.problems.items())),
            findings=tuple(f for f in document.findings if f.code.startswith(FAMILY)) if document else (),
            no_gpu=self._no_gpu,
            synthetic=document is not None and document.provenance.synthetic,
            notes=(self._electricity(),) if any(e.tok_j is not None for e in engines) else (),
        )

    def _priced(self, document: Diagnosis | None) -> tuple[ServingFigures, ...]:
        """Engines whose GPUs are seen have their price and power; of others the person says the price."""
        seen = {(e.endpoint, e.model): e for e in document.serving if e.keys} if document is not None else {}
        return tuple(seen.get((e.endpoint, e.model), e) for e in self._tracks.figures(self._elsewhere))

    def _electricity(self) -> str:
        config = self._config
        origins = config.origins
        given = {origins["electricity_usd_kwh"], origins["pue"]} - {"default"}
        whose = "as configured" if given else "a default: set electricity_usd_kwh and pue"
        return f"electricity at ${config.electricity_usd_kwh:g} per kWh, PUE {config.pue:g} ({whose})"

    def _elsewhere(self, keys: tuple[str, ...], start_s: float, end_s: float) -> Money:
        """What a person says that the engine's GPUs cost, where advisor sees none."""
        del keys, start_s, end_s
        unseen = "the engine's GPUs are not on this node, or cannot be seen"
        price, count = self._asked.price, self._asked.gpus or 1
        if price is None:
            return Money(no_price=f"{unseen}: give --price, and --gpus for more than one", no_power=unseen)
        source = f"--price {price:g} for {count} GPU{'s' if count > 1 else ''}"
        return Money(usd_h=price * count, source=source, no_power=unseen)


def _redacted(report: ServingReport, wanted: Delivery) -> ServingReport:
    """Without secrets and home paths; in what leaves the terminal without names of other hosts as well."""
    from advisor.reports.redact import host_hash, redact_record

    clean = redact_record(report)
    if wanted.shape != "json" and wanted.path is None:
        return clean

    def place(endpoint: str) -> str:
        host, _, port = endpoint.rpartition(":")
        return endpoint if host in LOOPBACK else f"{host_hash(host)}:{port}"

    return msgspec.structs.replace(
        clean,
        engines=tuple(msgspec.structs.replace(e, endpoint=place(e.endpoint)) for e in clean.engines),
        unread=tuple(msgspec.structs.replace(u, endpoint=place(u.endpoint)) for u in clean.unread),
    )


def _sampler(config: LoadedConfig) -> Feed:
    from advisor.telemetry.sampler import LiveFeed

    return LiveFeed(interval_s=config.interval_s, gpm_interval_s=config.gpm_interval_s)


def _drawn(report: ServingReport, wanted: Delivery, width: int, color: bool, unicode: bool) -> str:
    if wanted.shape == "json":
        from advisor.reports.jsontext import as_json

        return as_json(report, unicode=unicode)
    from advisor.reports.serving_text import render_serving

    return render_serving(report, width=width, color=color, unicode=unicode)
