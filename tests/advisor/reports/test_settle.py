"""What would settle a verdict is said wherever an unknown one is shown, and cannot carry markup along."""

from __future__ import annotations

import msgspec

from advisor.document import Diagnosis
from advisor.reports.markdown import render_markdown
from advisor.reports.text import render_text
from tests.factories import make_diagnosis


def unsettled(*sentences: str) -> Diagnosis:
    made = make_diagnosis("host")
    (verdict,) = made.verdicts
    close = "compute 0.48 against memory 0.46: the lead of 0.02 is within the noise of ±0.03"
    changed = msgspec.structs.replace(
        verdict,
        class_="unknown",
        cause="within-noise",
        unknown_because=(close,),
        settle=sentences,
        noise=0.03,
    )
    return msgspec.structs.replace(made, verdicts=(changed,))


def test_both_forms_say_why_and_what_would_settle_it() -> None:
    made = unsettled("watch for 60 s (`advisor diagnose --duration 60s`)")
    for said in (render_text(made, 200, False), render_markdown(made)):
        assert "within the noise of ±0.03" in said
        assert "to settle it: watch for 60 s" in said
        assert "advisor diagnose --duration 60s" in said


def test_a_driver_that_speaks_in_markup_is_not_believed() -> None:
    made = unsettled("GPM counters (<img src=x> \x1b[31m)")
    assert "(\\<img src=x\\>" in render_markdown(made)
    assert "\x1b" not in render_text(made, 200, False)
