"""What-ifs of whole documents: the same from a live look and a saved one, composed, said, and refused."""

from __future__ import annotations

from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest

from advisor.asked import answers, pages
from advisor.cli.asking import asked, chosen, keys_of
from advisor.cli.diagnostics import CliError
from advisor.config import Config
from advisor.document import Diagnosis
from advisor.monitor import Monitor, MonitorOptions
from advisor.reports.common import Style
from advisor.reports.escape import terminal
from advisor.reports.json import decode, encode
from advisor.reports.markdown import MIN_LIMIT, render_markdown
from advisor.reports.text import render_text
from advisor.reports.whatif_pages import as_text, list_text
from advisor.reports.whatifs import HEADING, facts, rows, said
from advisor.schema import json_schema
from advisor.telemetry.recording import demo_feed
from advisor.telemetry.records import End
from advisor.whatifs import candidates, cases, with_what_ifs
from rules.finding import Effect, Price
from rules.serving import ServingFigures
from rules.whatif import Lever, WhatIf
from rules.whatifs.case import without_windows
from rules.whatifs.compose import outlook
from rules.whatifs.registry import all_fixes
from tests.factories import make_diagnosis

STYLE = Style(terminal, terminal)


@pytest.fixture(scope="module")
def monitor() -> Monitor:
    """A monitor that has read the bundled recording."""
    made = Monitor(MonitorOptions(window_s=None, source="demo", config=Config(), env={}))
    feed = demo_feed(speed=0)
    made.feed(feed.start())
    while made.end is None:
        for message in feed.poll(0.0):
            made.feed(message)
            assert isinstance(message, End) == (made.end is not None)
    feed.close()
    return made


@pytest.fixture(scope="module")
def document(monitor: Monitor) -> Diagnosis:
    return monitor.diagnosis()


@pytest.fixture(scope="module")
def saved(document: Diagnosis, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("whatif") / "demo.json"
    path.write_bytes(encode(document))
    return str(path)


def test_a_case_is_the_same_live_and_saved(monitor: Monitor, saved: str) -> None:
    from_file = {case.evidence.key: case for case in cases(decode(Path(saved).read_bytes()))}
    live = monitor._rows(steady=False)
    assert len(live) == len(from_file) == 4
    for row in live:
        again = from_file[row.evidence.key]
        by_code = [sorted(found, key=lambda f: f.code) for found in (again.findings, row.result.findings)]
        assert by_code[0] == by_code[1]
        assert again.evidence == without_windows(row.evidence)
        assert (again.verdict, again.ladder) == (row.result.verdict, row.result.ladder)
        assert (again.ceilings, again.price) == (row.ceilings, row.price)
        assert again.candidates == candidates()


def test_the_document_holds_what_its_own_origins_give(document: Diagnosis) -> None:
    assert document.what_ifs
    assert with_what_ifs(document) == document
    loader = {one.fix: one for one in document.what_ifs if one.key == document.verdicts[2].key}
    gap = loader["host-gap"].effect
    finding = next(f for f in document.findings if f.code == "HOST003")
    assert gap is not None
    assert finding.effect is not None
    assert (gap.low, gap.high) == pytest.approx((finding.effect.low, finding.effect.high))


def test_a_screen_pays_for_none_of_it(monitor: Monitor) -> None:
    assert monitor.snapshot().diagnosis.what_ifs == ()


def test_models_to_rent_have_a_price_and_a_data_sheet() -> None:
    found = {one.model: one for one in candidates()}
    assert len(found) >= 8
    assert all(one.usd_h > 0 and one.rates["dram"] > 0 and "aws" in one.source for one in found.values())


def test_models_to_rent_are_priced_from_one_list() -> None:
    """From one's own where it has another card: a price agreed on is held against no list."""
    own, here = Config(prices={"H100": 2.0, "L40S": 0.8}), "H100 SXM5 80GB"
    paid = Price(usd_h=1.5, basis="user", source="--price")
    mine = candidates(own, here, paid)
    assert {one.model: one.usd_h for one in mine} == {here: 1.5, "L40S PCIe": 0.8}
    assert all(one.configured for one in mine)
    listed = msgspec.structs.replace(paid, basis="bundled")
    assert candidates(own, here, listed) == candidates()
    assert candidates(Config(prices={"H100": 2.0}), here, paid) == candidates()
    assert candidates(Config(price_usd_h=1.0), here, paid) == candidates()
    elsewhere = candidates(Config(price_provider="lambda"), here)
    assert elsewhere and all("lambda" in one.source for one in elsewhere)


def test_replicas_are_servers_of_one_model_on_one_card_each(document: Diagnosis) -> None:
    keys = [verdict.key for verdict in document.verdicts]

    def engine(key: str, model: str) -> ServingFigures:
        return ServingFigures(
            endpoint=f"localhost:{8000 + keys.index(key)}",
            engine="vllm",
            t_start_s=0.0,
            t_end_s=1.0,
            model=model,
            keys=(key,),
            running=4.0,
        )

    serving = (engine(keys[0], "m"), engine(keys[1], "m"), engine(keys[2], "other"))
    made = cases(msgspec.structs.replace(document, serving=serving))
    assert [[r.key for r in case.replicas] for case in made] == [[keys[1]], [keys[0]], [], []]
    wide = msgspec.structs.replace(serving[0], keys=(keys[0], keys[1]))
    assert not cases(msgspec.structs.replace(document, serving=(wide,)))[0].replicas


def test_the_section_shows_what_saves_at_80_columns(document: Diagnosis) -> None:
    text = render_text(document, 80, False)
    assert HEADING in text
    assert max(len(line) for line in text.splitlines()) <= 80
    shown = rows(document, STYLE)
    assert {row.name for row in shown} == {"GPU 0", "GPU 1", "GPU 2", "GPU 3"}
    assert "power-cap" not in {row.fix for row in shown}
    markdown = render_markdown(document)
    assert f"### {HEADING}" in markdown
    assert "| GPU 2 | Close the host gap (host-gap) | 1.27× to 1.73× |" in markdown


def test_the_section_is_the_first_to_give_way(document: Diagnosis) -> None:
    made = render_markdown(document, limit=MIN_LIMIT)
    assert HEADING not in made
    assert "what fixes would buy" in made
    assert "HOST003" in made


def test_hostile_words_are_escaped() -> None:
    nasty = WhatIf(
        fix="host-gap",
        title="\x1b[31m<script>|`x`",
        key=make_diagnosis().verdicts[0].key,
        gpu=0,
        mig="\u202e|x",
        levers=(Lever(share="host"),),
        price_usd_h=10.0,
        usd_h_low=1.0,
        usd_h_high=2.0,
    )
    hostile = msgspec.structs.replace(make_diagnosis(), what_ifs=(nasty,))
    assert "\x1b" not in render_text(hostile, 80, False)
    made = render_markdown(hostile)
    assert "<script>" not in made
    assert "\u202e" not in made


def test_answers_are_valid_by_their_schema(saved: str) -> None:
    validator = jsonschema.Draft202012Validator(json_schema("whatif"))
    for words in ((), ("host-gap", "fp8")):
        found = asked(saved, words, None, None, keep=False)
        validator.validate(msgspec.json.decode(msgspec.json.encode(found)))
        assert found.synthetic
        assert len(found.rows) == 4


def test_fixes_together_are_one_answer_with_what_it_assumes(saved: str) -> None:
    found = asked(saved, ("HOST003,fp8",), "2", None, keep=False)
    (one,) = found.rows[0].what_ifs
    assert found.fixes == ("host-gap", "fp8")
    assert one.fix == "host-gap+fp8"
    assert one.effect is not None
    alone = {w.fix: w.effect for w in answers(decode(Path(saved).read_bytes())).rows[2].what_ifs}
    gap, fp8 = alone["host-gap"], alone["fp8"]
    assert gap is not None
    assert fp8 is not None
    saves = [1 - 1 / effect.high for effect in (gap, fp8)]
    assert one.effect.high == pytest.approx(1 / (1 - sum(saves)))
    text = as_text(found, width=80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "SYNTHETIC" in text
    assert "Assumes" in text
    assert "throughput" in text


@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_table_fits(saved: str, width: int) -> None:
    text = as_text(asked(saved, (), None, None, keep=False), width=width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "cannot be said, because:" in text
    assert "Move to" in text


def test_the_list_names_every_fix() -> None:
    text = list_text(pages(), width=80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert all(fix.slug in text for fix in all_fixes())
    assert next(p for p in pages() if p.fix == "fp8").replaces == (
        *("tf32", "bf16", "fp16", "int8", "fewer-bytes"),
    )


def test_names_that_are_not_there_say_what_is(document: Diagnosis) -> None:
    with pytest.raises(CliError, match="did you mean pin-memory"):
        chosen(("pin-memry",))
    with pytest.raises(CliError, match="no such GPU") as error:
        keys_of(document, "7")
    assert error.value.fix == "it has GPU 0, 1, 2, 3"
    assert keys_of(document, "all") is None
    assert keys_of(document, f"1,{document.verdicts[3].key}") == tuple(
        document.verdicts[i].key for i in (1, 3)
    )


@pytest.mark.parametrize(
    ("changes", "because"),
    [({"observed": ()}, "without `observed`"), ({"verdicts": (), "ladder": (), "observed": ()}, "no GPU")],
)
def test_old_documents_say_what_they_lack(
    document: Diagnosis, changes: dict[str, object], because: str, tmp_path: Path
) -> None:
    path = tmp_path / "old.json"
    if "ladder" in changes:
        changes = changes | {"totals": msgspec.structs.replace(document.totals, price_usd_h=None)}
    path.write_bytes(encode(msgspec.structs.replace(document, **changes)))
    with pytest.raises(CliError, match=because) as error:
        asked(str(path), (), None, None, keep=False)
    assert "advisor diagnose --json" in error.value.fix


def test_fixes_that_replace_each_other_are_an_error(saved: str) -> None:
    with pytest.raises(CliError, match="replace each other"):
        asked(saved, ("fp8", "int8"), None, None, keep=False)


def test_a_price_of_ones_own_gives_another_card_no_dollars(document: Diagnosis) -> None:
    """No ratio of a list's prices is put on it; an agreed price of the other card is."""
    found = with_what_ifs(paid(document, 2.0)).what_ifs
    moves = [w for w in found if w.fix == "larger-gpu" and not w.refused]
    assert moves
    assert all(w.usd_h_low is None and w.effect and "give [prices]" in w.title for w in moves)
    agreed = with_what_ifs(paid(document, 2.0), Config(prices={"B200": 5.0})).what_ifs
    priced = [w for w in agreed if w.fix == "larger-gpu" and not w.refused]
    assert priced
    assert all(w.price_low == pytest.approx(2.5) and "from [prices]" in w.title for w in priced)


def paid(document: Diagnosis, usd_h: float) -> Diagnosis:
    ladder = tuple(msgspec.structs.replace(row, price_usd_h=usd_h) for row in document.ladder)
    price = Price(usd_h=usd_h, basis="user", source="--price")
    observed = tuple(msgspec.structs.replace(seen, price=price) for seen in document.observed)
    return msgspec.structs.replace(document, ladder=ladder, observed=observed)


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.81, 1.77, "may be slower"),
        (0.96, 1.05, "may be slower"),
        (0.999, 1.3, "may gain nothing"),
        (1.0, 1.3, "may gain nothing"),
        (1.003, 1.3, "may gain nothing"),
        (1.05, 1.3, "faster"),
        (0.5, 0.9, "slower"),
        (0.99, 1.01, "no gain"),
    ],
)
def test_a_range_in_words(low: float, high: float, word: str) -> None:
    effect = Effect(low=low, high=high, basis="b", bound=high)
    one = WhatIf(fix="f", title="F", key="k", gpu=0, effect=effect, outlook=outlook(low, high))
    assert said(one) == word
    assert any(name == "Bound" for name, _ in facts(one, STYLE))


def test_what_touches_nothing_takes_one_line(saved: str) -> None:
    found = asked(saved, ("COMM001",), "1", None, keep=False)
    lines = as_text(found, width=140).splitlines()
    at = next(i for i, line in enumerate(lines) if "(overlap)" in line)
    assert "no gain, it touches none of this card's time" in lines[at]
    assert [line for line in lines[at + 1 :] if line] == []
