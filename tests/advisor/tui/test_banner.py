"""The lines around the table."""

from __future__ import annotations

import msgspec
import pytest

from advisor.bills import statement
from advisor.snapshot import Snapshot
from advisor.tui import banner
from advisor.tui.glyphs import ASCII, UNICODE
from advisor.tui.rows import text_of, width_of
from rules.finding import TERMS, Price
from rules.ladder import priced_row
from tests import factories as make
from tests.advisor.tui import fakes

replace = msgspec.structs.replace


def header(snapshot: Snapshot, width: int = 120, *, recording: bool = False) -> str:
    return text_of(banner.header_row(snapshot, width, UNICODE, recording=recording))


def test_header_says_node_gpus_ceilings_driver_and_clock() -> None:
    text = header(fakes.node())
    for words in (
        "host-7f3a9c21",
        "8 × Simulated X100 80GB",
        "ceilings assumed",
        "GPM",
        "580.159",
        "22:14:20",
    ):
        assert words in text


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_header_fits_and_never_loses_its_badges(width: int) -> None:
    text = header(fakes.node(), width, recording=True)
    assert len(text) == width
    assert "SYNTHETIC" in text
    assert "REC" in text
    assert "LIVE" in text
    assert "8 × Simulated" in text


def test_real_data_bears_no_synthetic_badge() -> None:
    assert "SYNTHETIC" not in header(fakes.node(hello=make.make_hello(synthetic=False)))


@pytest.mark.parametrize(
    ("changes", "badge"),
    [
        ({}, "LIVE"),
        ({"mode": "demo"}, "DEMO"),
        ({"mode": "replay"}, "REPLAY"),
        ({"paused": True}, "PAUSED"),
        ({"stale": "driver not answering since 14:02:31", "paused": True}, "STALE"),
        ({"ended": "the node went away", "stale": "x"}, "ENDED"),
        ({"ended": "the recording ended", "mode": "replay"}, "REPLAY ENDED"),
        ({"stale": "driver not answering since 14:02:31", "mode": "replay"}, "REPLAY STALE"),
        ({"paused": True, "mode": "demo", "reason": "no driver"}, "REPLAY PAUSED"),
    ],
)
def test_badge(changes: dict[str, object], badge: str) -> None:
    assert banner.mode_word(replace(fakes.node(), **changes))[0] == badge


def test_notice_gives_the_reason() -> None:
    notice = banner.notice_row(fakes.node(mode="demo", reason="no NVIDIA driver: bundled recording"), 60)
    assert notice is not None
    assert "no NVIDIA driver" in text_of(notice)
    assert banner.notice_row(fakes.node(), 60) is None


def test_money_line_at_80_and_at_200() -> None:
    narrow = text_of(banner.money_row(fakes.node(), 80))
    assert narrow == " $41.17 of $55.04/h wasted (75 %), $10.75 to $21.20 recoverable   ineff. 29 %"
    wide = text_of(banner.money_row(fakes.node(), 260))
    assert wide.startswith(
        " $41.17 of $55.04 per hour wasted (75 %), $10.75 to $21.20 recoverable   inefficiency 29 %"
    )
    assert wide.rstrip().endswith("price: example-cloud x100.8xlarge / 8, on-demand, us-1, 2026-04 (bundled)")


def of_shares(**shares: float) -> Snapshot:
    """A node of one GPU at $10 an hour whose ladder has these shares."""
    whole = dict.fromkeys(TERMS, 0.0) | shares
    made = make.make_diagnosis(verdicts=[], findings=[])
    price = Price(usd_h=10.0, basis="user", source="--price")
    row = priced_row(make.device_key(0), 0, None, whole, price, 1.0)
    return make.make_snapshot(diagnosis=replace(made, ladder=(row,), totals=make.make_totals((row,))))


def test_money_is_that_of_the_money_screen_to_the_cent() -> None:
    differ = 0
    for cents in range(1, 60):
        of_each = Price(usd_h=1.0 + cents / 300, basis="user", source="--price")
        shares = dict.fromkeys(TERMS, 0.0) | {"free": 0.21, "host_gap": 0.32, "useful": 0.4, "unknown": 0.07}
        rows = tuple(priced_row(make.device_key(i), i, None, shares, of_each, 1.0) for i in range(3))
        totals = make.make_totals(rows)
        made = make.make_diagnosis("host", "host", "host", ladder=rows, totals=totals, findings=())
        money = statement(made, "hour")
        assert money is not None
        text = text_of(banner.money_row(make.make_snapshot(diagnosis=made), 120))
        wasted, price = money.node.wasted or 0, money.node.price or 0
        assert text.startswith(f" ${wasted / 100:.2f} of ${price / 100:.2f} per hour wasted (53 %)")
        differ += wasted != round((totals.wasted_usd_h or 0.0) * 100)
    assert differ, "no case in which rounding the exact sum would have been another figure"


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_money_of_unknown_use_is_named_at_every_width(width: int) -> None:
    text = text_of(banner.money_row(of_shares(useful=0.59, unknown=0.4, free=0.01), width))
    assert "unknown 40 %" in text[:width]
    assert text.startswith(" $0.10 of $10.00")


def test_a_trace_of_unknown_use_is_named_and_none_is_not() -> None:
    assert "unknown < 1 %" in text_of(banner.money_row(of_shares(useful=0.999, unknown=0.001), 80))
    assert "unknown" not in text_of(banner.money_row(of_shares(useful=1.0, unknown=0.0), 80))


def test_terms_that_do_not_all_fit_are_combined_largest_first() -> None:
    node = of_shares(inefficiency=0.16, free=0.12, idle_held=0.12, host_gap=0.05, useful=0.55)
    assert text_of(banner.money_row(node, 104)).endswith("   idle 24 %  ineff. 16 %  host 5 %")
    assert "free 12 %  idle-held 12 %" in text_of(banner.money_row(node, 170))


def test_without_a_price_shares_are_said_and_how_to_give_one() -> None:
    diagnosis = make.make_diagnosis("host", "idle", price_usd_h=None)
    text = text_of(banner.money_row(make.make_snapshot(diagnosis=diagnosis), 120))
    assert text.startswith(" 87 % of GPU time wasted  no price: --price")
    assert "$" not in text


def test_do_first_is_the_finding_worth_most() -> None:
    rows = banner.do_first_rows(fakes.node(), 80, 3)
    assert [text_of(line) for line in rows] == [
        " Do first  IDLE002 on GPU 1: A process holds 16.0 GiB and has run nothing for",
        "           42 min. Ask alice to stop pid 60102. Up to $6.88 per hour.",
    ]


def test_do_first_is_cut_with_an_ellipsis_after_three_lines() -> None:
    finding = make.make_finding(claim="words " * 200)
    snapshot = make.make_snapshot(diagnosis=make.make_diagnosis(findings=[finding]))
    rows = [text_of(line) for line in banner.do_first_rows(snapshot, 80, 3)]
    assert len(rows) == 3
    assert rows[-1].endswith("…")
    assert all(len(line) <= 80 for line in rows)


def test_a_long_action_is_cut_and_not_what_it_buys() -> None:
    finding = make.make_finding(actions=("set this and that " * 40,))
    snapshot = make.make_snapshot(diagnosis=make.make_diagnosis(findings=[finding]))
    rows = [text_of(line) for line in banner.do_first_rows(snapshot, 100, 3)]
    assert len(rows) == 3
    assert "…" in rows[-1]
    assert rows[-1].endswith("Expect 1.4× to 1.6×, up to $2.61 per hour.")


def test_do_first_without_findings() -> None:
    snapshot = make.make_snapshot(diagnosis=make.make_diagnosis("compute", findings=[]))
    assert "nothing stands out" in text_of(banner.do_first_rows(snapshot, 80, 3)[0])


def test_host_strip() -> None:
    host = make.make_host_sample(cpu_fracs=(0.0, 0.5, 1.0, 1.0), throttled_frac=0.2)
    line = text_of(banner.host_rows(host, 100, UNICODE)[0])
    assert line == (
        " host  CPU 62 % ▁▅██  PSI cpu 41 % io 2 %  mem 212/503 GiB  disk 401 MB/s  throttled 20 %"
    )


def test_host_strip_shows_the_busiest_of_a_few_cores_when_they_do_not_all_fit() -> None:
    cores = tuple(1.0 if core == 77 else 0.0 for core in range(192))
    line = banner.host_rows(make.make_host_sample(cpu_fracs=cores), 120, ASCII)[0]
    assert width_of(line) <= 120
    assert text_of(line).count("#") == 1


def test_host_strip_gives_up_disk_before_throttling() -> None:
    line = text_of(banner.host_rows(make.make_host_sample(), 80, UNICODE)[0])
    assert "disk" not in line
    assert "throttled 0 %" in line


def test_unknown_host_figures_are_dashes() -> None:
    host = make.make_host_sample(psi_cpu_frac=None, throttled_frac=None, cpu_fracs=())
    line = text_of(banner.host_rows(host, 120, UNICODE)[0])
    assert "CPU –" in line
    assert "PSI cpu – io" in line
    assert "throttled –" in line
    assert text_of(banner.host_rows(None, 80, UNICODE)[0]) == " host  no host data"
