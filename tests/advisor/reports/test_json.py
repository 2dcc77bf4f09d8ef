"""JSON: what is written is read back; everything else is refused with a reason."""

from __future__ import annotations

import json
import math

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from advisor.document import Diagnosis
from advisor.reports import json as report_json
from advisor.reports.errors import DocumentError
from advisor.reports.json import decode, encode
from tests.factories import make_diagnosis, make_hello, make_provenance, make_verdict
from tests.strategies import diagnoses, readable, with_sound_money


@pytest.fixture
def document() -> dict[str, object]:
    loaded: dict[str, object] = json.loads(encode(make_diagnosis("host", "memory")))
    return loaded


def refused(data: bytes | str) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        decode(data)
    assert caught.value.fix
    return caught.value


def test_round_trip() -> None:
    diagnosis = make_diagnosis("host", "memory", "unknown")
    assert decode(encode(diagnosis)) == diagnosis


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(diagnoses())
def test_any_document_is_read_back(diagnosis: Diagnosis) -> None:
    sound = with_sound_money(diagnosis)
    assert decode(encode(sound)) == readable(sound)


def test_is_indented_and_ends_in_one_newline() -> None:
    text = encode(make_diagnosis()).decode()
    assert text.startswith('{\n  "schema_version": 1,\n  "provenance": {\n    "advisor_version"')
    assert text.endswith("\n}\n")


def test_public_field_names(document: dict[str, object]) -> None:
    assert {"schema_version", "provenance", "verdicts", "ladder", "findings", "flags"} <= set(document)
    verdicts = document["verdicts"]
    assert isinstance(verdicts, list)
    wanted = {"gpu", "workload", "class", "cause", "confidence", "tier", "shares", "evidence"}
    assert wanted <= set(verdicts[0])


def test_accepts_text_and_a_byte_order_mark() -> None:
    data = encode(make_diagnosis())
    assert decode(data.decode()) == decode(b"\xef\xbb\xbf" + data) == make_diagnosis()


def test_every_cut_is_refused() -> None:
    data = encode(make_diagnosis("host", findings=[]))
    for end in range(1, len(data) - 2, 97):
        assert "cut off" in str(refused(data[:end]))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"  \n ", "empty"),
        (b"hello", "not JSON"),
        (b"\xff\xfe{\x00", "not JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b"{}", "schema_version"),
        (b'{"schema_version": "1"}', "whole number"),
        (b'{"schema_version": true}', "whole number"),
        (b'{"schema_version": 0}', "whole number"),
        (b'{"schema_version": 1}', "missing required field `provenance`"),
        (b'{"schema_version": 1, "a": NaN}', "not JSON"),
        (b'{"schema_version": 1, "a": 1e999}', "not JSON"),
        (b"\x1f\x8b\x08\x00", "compressed"),
        (b"[" * 200_000, "nested too deeply"),
        ("\ud800", "not JSON"),
    ],
)
def test_refuses(data: bytes | str, words: str) -> None:
    assert words in str(refused(data))


def test_refuses_a_newer_version(document: dict[str, object]) -> None:
    document["schema_version"] = 2
    document["something_new"] = {}
    error = refused(json.dumps(document))
    assert "schema version 2" in str(error)
    assert "up to 1" in str(error)
    assert "upgrade" in error.fix


def test_reads_an_older_version(document: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    document["problems"] = document.pop("findings")
    monkeypatch.setattr(report_json, "SCHEMA_VERSION", 2)
    monkeypatch.setitem(
        report_json.MIGRATIONS,
        1,
        lambda old: {**{k: v for k, v in old.items() if k != "problems"}, "findings": old["problems"]},
    )
    read = decode(json.dumps(document))
    assert read.schema_version == 2
    assert read.findings == make_diagnosis("host", "memory").findings


def test_names_the_path_of_a_wrong_type(document: dict[str, object]) -> None:
    verdicts = document["verdicts"]
    assert isinstance(verdicts, list)
    verdicts[1]["confidence"] = "high"
    assert "`$.verdicts[1].confidence`" in str(refused(json.dumps(document)))


def test_names_an_unknown_field(document: dict[str, object]) -> None:
    document["\x1b[31mextra"] = 1
    message = str(refused(json.dumps(document)))
    assert "unknown field" in message
    assert "\x1b" not in message


def test_tells_a_recording_apart() -> None:
    line = msgspec.json.encode(make_hello())
    for data in (line, line + b"\n" + line):
        error = refused(data)
        assert "recording" in str(error)
        assert "replay" in error.fix


def test_refuses_what_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    assert report_json.MAX_BYTES == 64 * 1024**2
    monkeypatch.setattr(report_json, "MAX_BYTES", 1024**2)
    assert "MiB" in str(refused(b" " * 1024**2 + b"{}"))


def test_an_optional_figure_that_is_not_finite_is_unknown() -> None:
    provenance = make_provenance(watch_cost_frac=math.nan)
    data = encode(make_diagnosis(provenance=provenance))
    assert b"NaN" not in data
    assert decode(data).provenance.watch_cost_frac is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_required_figure_that_is_not_finite_is_an_error(value: float) -> None:
    with pytest.raises(DocumentError, match="confidence"):
        encode(make_diagnosis(verdicts=[make_verdict(confidence=value)]))
