"""The app over its source: pause, export, record, failures, screens and leaving."""

from __future__ import annotations

import asyncio
import json
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from advisor.snapshot import Snapshot
from advisor.tui import run_tui
from advisor.tui.app import REDRAW_S, AdvisorApp, TuiOptions
from advisor.tui.glyphs import UNICODE
from advisor.tui.messages import RecordingChanged, TaskFailed
from advisor.tui.rows import text_of, width_of
from advisor.tui.screens.overview import OverviewScreen
from tests import factories as make
from tests.advisor.tui import fakes
from tests.advisor.tui.screen_text import line_with, running, screen_lines, screen_text, until


def options(folder: Path) -> TuiOptions:
    return TuiOptions(interval_s=0.02, folder=folder)


def notices(app: AdvisorApp) -> str:
    return "\n".join(f"{notice.title} {notice.message}" for notice in app._notifications)


async def test_pause_freezes_what_is_shown_and_space_goes_on() -> None:
    source = fakes.FakeSource()
    async with running(source) as (app, pilot):
        await pilot.press("space")
        await until(pilot, lambda: source.paused == [True], "the pause")
        assert "PAUSED" in screen_lines(app)[0]
        source.now = fakes.node(120)
        await pilot.pause(0.2)
        assert "22:14:20" in screen_lines(app)[0]
        await pilot.press("space")
        await until(pilot, lambda: app.snapshot is source.now, "going on")
        assert source.paused == [True, False]
        assert "LIVE  22:15:20" in screen_lines(app)[0]


async def test_keys_are_worked_off_in_their_order_one_at_a_time(tmp_path: Path) -> None:
    gate = threading.Event()

    class Slow(fakes.FakeSource):
        def pause(self, on: bool) -> None:
            gate.wait(30 if on else 0)
            super().pause(on)

        def start_recording(self, path: Path) -> None:
            assert len(self.recordings) == self.stopped, "a recording was left behind"
            super().start_recording(path)

    source = Slow()
    async with running(source, options(tmp_path)) as (app, pilot):
        await pilot.press("space", "space", "space", "space", "r", "r", "r")
        assert (source.paused, source.recordings, app.paused) == ([], [], False)
        gate.set()
        await until(pilot, lambda: len(source.recordings) == 2, "all of it")
        assert source.paused == [True, False, True, False]
        await until(pilot, lambda: app.recording == source.recordings[-1], "the badge")
        assert source.stopped == 1


async def test_quitting_does_what_was_asked_before(tmp_path: Path) -> None:
    gate = threading.Event()

    class Slow(fakes.FakeSource):
        def pause(self, on: bool) -> None:
            gate.wait(30)
            super().pause(on)

    source = Slow()
    async with running(source, options(tmp_path)) as (app, pilot):
        await pilot.press("space", "e", "q")
        gate.set()
        await until(pilot, lambda: not app.is_running, "the end")
    deadline = time.monotonic() + 10
    while len(list(tmp_path.glob("*.json"))) < 1 and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert len(list(tmp_path.glob("*.json"))) == 1


async def test_news_is_drawn_at_once_and_asked_for_no_more_often_than_can_be_read() -> None:
    class Counting(fakes.FakeSource):
        asked = 0

        def snapshot(self) -> Snapshot:
            self.asked += 1
            return super().snapshot()

    source = Counting()
    async with running(source, TuiOptions(interval_s=3600.0)) as (app, pilot):
        assert source.changed is not None
        source.now = fakes.node(61, stale="driver not answering since 22:14:20")
        source.changed.set()
        await until(pilot, lambda: "driver not answering" in screen_text(app), "the notice")
        begin, before = time.monotonic(), source.asked
        while time.monotonic() - begin < 0.7:
            source.changed.set()
            await asyncio.sleep(0.005)
        assert source.asked - before <= 2 + (time.monotonic() - begin) / REDRAW_S


async def test_a_recording_that_ended_before_its_begin_was_told_shows_no_badge(tmp_path: Path) -> None:
    source = fakes.FakeSource()
    async with running(source, options(tmp_path)) as (app, pilot):
        source.recording_problem = "the disk is full"
        app.post_message(RecordingChanged(tmp_path / "x.jsonl"))
        await until(pilot, lambda: "the disk is full" in notices(app), "the notice")
        assert app.recording is None
        await pilot.press("r")
        await until(pilot, lambda: app.recording is not None, "the next recording")


async def test_export_keeps_names_where_redaction_is_off(tmp_path: Path) -> None:
    unredacted = TuiOptions(interval_s=0.02, folder=tmp_path, redact=False)
    async with running(fakes.FakeSource(), unredacted) as (_, pilot):
        await pilot.press("e")
        await until(pilot, lambda: bool(list(tmp_path.glob("*.json"))), "the export")
        (data,) = tmp_path.glob("*.json")
        users = {verdict["workload"]["user"] for verdict in json.loads(data.read_text())["verdicts"][:1]}
        assert not any(user.startswith("user:") for user in users)


async def test_export_writes_redacted_markdown_and_json(tmp_path: Path) -> None:
    async with running(fakes.FakeSource(), options(tmp_path)) as (app, pilot):
        await pilot.press("e")
        await until(
            pilot, lambda: len(list(tmp_path.iterdir())) == 2 and "Exported" in notices(app), "the export"
        )
        report, data = sorted(tmp_path.iterdir(), key=lambda path: path.suffix, reverse=True)
        assert (report.name, data.name) == ("advisor-20231114-221420.md", "advisor-20231114-221420.json")
        assert "IDLE002" in report.read_text()
        workloads = [verdict["workload"] for verdict in json.loads(data.read_text())["verdicts"]]
        assert workloads[0]["user"].startswith("user:")
        assert "host name hashed" in report.read_text()
        assert json.loads(data.read_text())["schema_version"] == 1
        assert stat.S_IMODE(report.stat().st_mode) == 0o600
        assert f"{report.name} and .json" in notices(app)


async def test_a_second_export_keeps_the_first(tmp_path: Path) -> None:
    async with running(fakes.FakeSource(), options(tmp_path)) as (_, pilot):
        await pilot.press("e")
        await until(pilot, lambda: len(list(tmp_path.glob("*.json"))) == 1, "the export")
        await pilot.press("e")
        await until(pilot, lambda: len(list(tmp_path.glob("*.json"))) == 2, "the second export")
        assert (tmp_path / "advisor-20231114-221420-2.md").exists()


async def test_an_export_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    async with running(fakes.FakeSource(), options(tmp_path / "absent")) as (app, pilot):
        await pilot.press("e")
        await until(pilot, lambda: "Did not work" in notices(app), "the notice")
        assert "export:" in notices(app)
        assert isinstance(app.screen, OverviewScreen)


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("size", [(40, 10), (80, 24), (200, 60)])
async def test_a_notice_covers_the_line_of_keys_alone(
    tmp_path: Path, size: tuple[int, int], ascii_only: bool
) -> None:
    folder = tmp_path / ("deep" * 50)
    folder.mkdir()
    shown = TuiOptions(interval_s=0.02, folder=folder, ascii=ascii_only)
    async with running(fakes.FakeSource(), shown, size=size, notices=True) as (app, pilot):
        await pilot.press("space")
        await pilot.pause()
        before = screen_lines(app)
        await pilot.press("e")
        await until(pilot, lambda: "Exported" in screen_text(app), "the notice")
        after = screen_lines(app)
        assert after[:-1] == before[:-1]
        assert after[-1].rstrip().endswith("20.md and .json")
        assert not ascii_only or screen_text(app).isascii()


async def test_a_failure_is_told_whole(tmp_path: Path) -> None:
    async with running(fakes.FakeSource(), options(tmp_path), notices=True) as (app, pilot):
        app.post_message(TaskFailed("export: " + "words " * 20 + "the end"))
        await until(pilot, lambda: "the end" in screen_text(app), "the notice")
        assert "Did not work: export:" in screen_text(app)
        assert "Do first" in screen_text(app)


@pytest.mark.parametrize("keys", [[], ["slash", "v"], ["enter"], ["question_mark"], ["ctrl+p"]])
async def test_ctrl_c_quits_wherever_one_is(keys: list[str]) -> None:
    async with running(fakes.FakeSource()) as (app, pilot):
        await pilot.press(*keys)
        await pilot.pause()
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert not app.is_running or app._exit


async def test_the_palette_is_ascii_where_all_else_is() -> None:
    async with running(fakes.FakeSource(), TuiOptions(ascii=True, interval_s=0.02)) as (app, pilot):
        await pilot.press("ctrl+p")
        await until(pilot, lambda: "Money" in screen_text(app), "the palette")
        odd = {letter for letter in screen_text(app) if not letter.isascii()}
        assert not odd


@pytest.mark.parametrize("width", [30, 60, 74, 88])
def test_help_loses_no_word(width: int) -> None:
    from advisor.tui.screens.help import KEYS, LEAD, WORDS, help_rows

    rows = help_rows(width, UNICODE)
    assert max(width_of(line) for line in rows) <= width
    said = " ".join(text_of(line)[LEAD:].strip() for line in rows)
    assert all(text in said for _, text in (*KEYS, *WORDS))
    assert "unknown" in text_of(rows[-1])


async def test_the_findings_say_that_their_dollars_overlap() -> None:
    async with running(fakes.FakeSource()) as (app, pilot):
        await pilot.press("f")
        await pilot.pause()
        assert "only the ladder sums to the bill" in screen_text(app)


async def test_record_toggles_with_a_badge(tmp_path: Path) -> None:
    source = fakes.FakeSource()
    async with running(source, options(tmp_path)) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: app.recording is not None, "the recording")
        assert source.recordings[0].parent == tmp_path
        assert source.recordings[0].suffix == ".jsonl"
        assert " REC " in screen_lines(app)[0]
        await pilot.press("r")
        await until(pilot, lambda: app.recording is None, "the end of the recording")
        assert source.stopped == 1
        assert " REC " not in screen_lines(app)[0]


async def test_a_recording_that_cannot_begin_or_go_on_says_so(tmp_path: Path) -> None:
    source = fakes.FakeSource()
    source.record_error = PermissionError("read-only file system")
    async with running(source, options(tmp_path)) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: "read-only file system" in notices(app), "the notice")
        assert app.recording is None
        source.record_error = None
        await pilot.press("r")
        await until(pilot, lambda: app.recording is not None, "the recording")
        source.recording_problem = "no space left on device"
        await until(pilot, lambda: app.recording is None, "the end of the recording")
        assert "no space left on device" in notices(app)


async def test_a_source_that_raises_makes_the_data_stale_until_it_answers() -> None:
    source = fakes.FakeSource()
    async with running(source) as (app, pilot):
        source.error = RuntimeError("pipe broke")
        await until(pilot, lambda: "no new data: RuntimeError: pipe broke" in screen_text(app), "the notice")
        assert "STALE" in screen_lines(app)[0]
        source.error = None
        source.now = fakes.node(61)
        await until(pilot, lambda: "LIVE" in screen_lines(app)[0], "fresh data")


async def test_the_source_is_never_asked_on_the_ui_thread() -> None:
    asked: set[int] = set()

    class Noting(fakes.FakeSource):
        def snapshot(self) -> Snapshot:
            asked.add(threading.get_ident())
            return super().snapshot()

        def pause(self, on: bool) -> None:
            asked.add(threading.get_ident())
            super().pause(on)

        def start_recording(self, path: Path) -> None:
            asked.add(threading.get_ident())
            super().start_recording(path)

    source = Noting()
    async with running(source) as (_, pilot):
        await pilot.press("space", "r")
        await until(pilot, lambda: bool(source.paused and source.recordings), "both")
    assert threading.get_ident() not in asked


async def test_keys_work_while_the_source_hangs() -> None:
    gate = threading.Event()

    class Hanging(fakes.FakeSource):
        def snapshot(self) -> Snapshot:
            if self.now.t_s > fakes.node().t_s:
                gate.wait(30)
            return super().snapshot()

    source = Hanging()
    async with running(source) as (app, pilot):
        source.now = fakes.node(61)
        await pilot.press("question_mark")
        await pilot.pause()
        assert "command palette" in screen_text(app)
        gate.set()


async def test_detail_shows_one_gpu_and_its_neighbours() -> None:
    async with running(fakes.FakeSource(), size=(120, 60)) as (app, pilot):
        await pilot.press("j", "j", "j", "enter")
        await pilot.pause()
        text = screen_text(app)
        for words in (
            "GPU 2",
            "train_vit.py 81234",
            "where the time went",
            "0.18 of 0.92",
            "price per hour",
            "HOST003",
        ):
            assert words in text
        await pilot.press("right")
        await pilot.pause()
        assert "GPU 3" in screen_lines(app)[1]
        await pilot.press("left", "left", "left", "left")
        await pilot.pause()
        assert "GPU 7" in screen_lines(app)[1]
        await pilot.press("escape")
        assert isinstance(app.screen, OverviewScreen)


async def test_detail_of_a_gpu_that_left_says_so() -> None:
    source = fakes.FakeSource()
    async with running(source) as (app, pilot):
        await pilot.press("enter")
        source.now = fakes.node(61, gpus=1)
        await until(pilot, lambda: "no longer listed" in screen_text(app), "the words")


async def test_findings_open_explain_and_back() -> None:
    async with running(fakes.FakeSource(), size=(100, 40)) as (app, pilot):
        await pilot.press("f")
        await pilot.pause()
        lines = screen_lines(app)
        assert [line.split()[0] for line in lines[3:6]] == ["▸", "HOST003", "MEM001"]
        assert "IDLE002 on GPU 1" in screen_text(app)
        await pilot.press("down")
        await pilot.pause()
        assert "HOST003 on GPU 2" in screen_text(app)
        await pilot.press("enter")
        await pilot.pause()
        assert "MEM001" not in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert "MEM001" in screen_text(app)
        await pilot.press("x")
        await pilot.pause()
        await pilot.pause()
        assert "What to do" in screen_text(app)
        await pilot.press("escape", "escape")
        assert isinstance(app.screen, OverviewScreen)


async def test_no_findings_is_said() -> None:
    snapshot = make.make_snapshot(diagnosis=make.make_diagnosis("compute", findings=[]))
    async with running(fakes.FakeSource(snapshot)) as (app, pilot):
        await pilot.press("f", "enter", "x")
        await pilot.pause()
        assert "no findings" in screen_text(app)


async def test_an_unknown_rule_code_is_said() -> None:
    async with running(fakes.FakeSource()) as (app, pilot):
        app.open_page("NOPE999")
        await pilot.pause()
        await pilot.pause()
        assert "NOPE999" in screen_text(app)


async def test_money_and_switching_does_not_pile_up_screens() -> None:
    async with running(fakes.FakeSource()) as (app, pilot):
        await pilot.press("dollar_sign")
        await pilot.pause()
        assert "55.04" in screen_text(app)
        await pilot.press(*["f", "dollar_sign"] * 5)
        await pilot.pause()
        assert len(app.screen_stack) <= 3


async def test_help_lists_the_keys_and_the_table_goes_on_behind_it() -> None:
    source = fakes.FakeSource()
    async with running(source) as (app, pilot):
        await pilot.press("question_mark")
        await pilot.pause()
        assert "filter by name" in screen_text(app)
        source.now = fakes.node(61)
        await until(pilot, lambda: app.snapshot is source.now, "the next tick")
        await pilot.press("escape")
        await pilot.pause()
        assert "22:14:21" in screen_lines(app)[0]


async def test_every_key_in_the_help_exists() -> None:
    from advisor.tui.screens.help import KEYS

    async with running(fakes.FakeSource()) as (app, pilot):
        await pilot.press("f")
        await pilot.pause()
        active = {
            binding.key_display or key for key, (_, binding, _, _) in app.screen.active_bindings.items()
        }
        for key, _ in KEYS:
            if len(key) == 1 and key not in "fo/":
                assert key in active, key


async def test_the_command_palette_has_the_actions() -> None:
    async with running(fakes.FakeSource()) as (app, _):
        titles = {command.title for command in app.get_system_commands(app.screen)}
    assert {"Findings", "Money", "Export", "Record", "Pause or resume", "Help", "Theme", "Quit"} <= titles


async def test_q_leaves_and_the_thread_ends() -> None:
    source = fakes.FakeSource()
    async with running(source) as (app, pilot):
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running, "the end")
    assert app._stop.is_set()


def count_calls(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, done: Counter[str]) -> None:
    """Count calls of a method, which still does its work."""
    method = getattr(owner, name)

    def counting(*args: object, **options: object) -> object:
        done[name] += 1
        return method(*args, **options)

    monkeypatch.setattr(owner, name, counting)


async def test_a_tick_lays_nothing_out_and_an_equal_one_paints_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = fakes.FakeSource()
    async with running(source, size=(200, 60)) as (app, pilot):
        done: Counter[str] = Counter()
        count_calls(monkeypatch, app.screen, "_refresh_layout", done)
        count_calls(monkeypatch, app.screen._compositor, "render_update", done)
        source.now = fakes.node(61)
        await until(pilot, lambda: app.snapshot is source.now, "the next tick")
        assert done["render_update"] > 0
        assert done["_refresh_layout"] == 0
        done.clear()
        source.now = fakes.node(61)
        await until(pilot, lambda: app.snapshot is source.now, "an equal tick")
        assert not done


def test_an_unknown_theme_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no theme is called 'sepia'.*ansi.*dark.*light"):
        AdvisorApp(fakes.FakeSource(), TuiOptions(theme="sepia"))


def test_importing_the_package_costs_no_textual_and_the_first_screen_no_markdown() -> None:
    code = (
        "import sys, advisor.tui; assert 'textual' not in sys.modules;"
        "import advisor.tui.app;"
        "heavy = {'markdown_it', 'textual.widgets._markdown', 'pynvml', 'psutil',"
        " 'advisor.tui.screens.detail', 'advisor.tui.screens.findings', 'rules.registry',"
        " 'advisor.reports.markdown'};"
        "found = heavy & set(sys.modules); assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("failure", [None, RuntimeError("terminal went away")])
def test_run_tui_closes_the_source_whatever_happens(
    failure: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(app: AdvisorApp, **_: object) -> None:
        if failure is not None:
            raise failure

    monkeypatch.setattr(AdvisorApp, "run", run)
    source = fakes.FakeSource()
    if failure is None:
        assert run_tui(source) == 0
    else:
        with pytest.raises(RuntimeError):
            run_tui(source)
    assert source.closed == 1


async def test_money_by_gpu_job_and_term_per_hour_day_and_month() -> None:
    async with running(fakes.FakeSource()) as (app, pilot):
        await pilot.press("dollar_sign")
        await pilot.pause()
        assert "dollars per hour, by GPU" in screen_text(app)
        keys = screen_lines(app)[-1]
        assert "b By" in keys and "t Time" in keys and "q Quit" in keys
        await pilot.press("b", "t")
        await pilot.pause()
        assert line_with(app, "slurm:4702").split()[2:5] == ["165.12", "123.51", "47.18–61.92"]
        assert "dollars per day, by job" in screen_text(app)
        await pilot.press("b", "t")
        await pilot.pause()
        assert "by job" not in screen_text(app)
        assert line_with(app, "wasted   ").split()[:2] == ["wasted", "30,054.04"]
        assert "a month is 730 h" in screen_text(app)
        await pilot.press("b", "t")
        await pilot.pause()
        assert "dollars per hour, by GPU" in screen_text(app)
