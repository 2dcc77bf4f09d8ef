"""Records as JSON text: whatever stands in them, and whatever the stream takes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.reports.jsontext import as_json

words = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@given(values, st.booleans(), st.sampled_from([None, 2]))
def test_what_is_written_reads_back(value: object, unicode: bool, indent: int | None) -> None:
    text = as_json({"it": value}, unicode=unicode, indent=indent)
    assert text.endswith("}\n")
    assert text.isascii() or unicode
    assert indent or text.count("\n") == 1
    assert as_json(json.loads(text)) == as_json({"it": value})


@pytest.mark.parametrize("unicode", [True, False])
def test_bytes_that_are_no_text_become_question_marks(unicode: bool) -> None:
    text = as_json({"path\udcff": ["/tmp/st\udcff", "modèle😀"]}, unicode=unicode)
    assert json.loads(text) == {"path?": ["/tmp/st?", "modèle😀"]}
