"""Every document the program writes is valid by the schema it prints."""

from __future__ import annotations

import importlib
import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from advisor.document import Diagnosis
from advisor.reports.json import encode
from advisor.schema import DIALECT, WHICH, Which, json_schema
from advisor.telemetry.records import End, Frame, Gap
from tests.factories import T0_S, make_diagnosis, make_hello, make_host_sample, make_process, make_sample
from tests.strategies import diagnoses

# No types come with it.
jsonschema: Any = importlib.import_module("jsonschema")


def validator(which: Which) -> Any:
    return jsonschema.Draft202012Validator(json_schema(which))


DIAGNOSIS = validator("diagnosis")


@pytest.fixture
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(encode(make_diagnosis("host", "memory", "idle", "unknown")))
    return loaded


@pytest.mark.parametrize("which", WHICH)
def test_is_a_schema_with_an_identity(which: Which) -> None:
    schema = json_schema(which)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == DIALECT
    assert re.fullmatch(rf"urn:gpu-advisor:schema:{which}:\d+", schema["$id"])
    assert schema["title"]
    assert json.loads(json.dumps(schema)) == schema


@pytest.mark.parametrize("which", ["diagnosis", "recording"])
def test_every_record_is_described_and_closed(which: Which) -> None:
    for name, record in json_schema(which)["$defs"].items():
        assert record["description"], name
        assert record["additionalProperties"] is False, name


def test_a_diagnosis_is_valid(document: dict[str, Any]) -> None:
    DIAGNOSIS.validate(document)


def test_no_price_and_no_rows_are_valid() -> None:
    DIAGNOSIS.validate(json.loads(encode(make_diagnosis("unknown", price_usd_h=None))))
    DIAGNOSIS.validate(json.loads(encode(make_diagnosis(verdicts=[]))))


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(diagnoses())
def test_any_diagnosis_is_valid(diagnosis: Diagnosis) -> None:
    DIAGNOSIS.validate(json.loads(encode(diagnosis)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema_version",), 2),
        (("schema_version",), "1"),
        (("extra",), 1),
        (("verdicts", 0, "class"), "busy"),
        (("verdicts", 0, "confidence"), None),
        (("ladder", 0, "shares"), [1]),
        (("findings", 0, "severity"), "worst"),
        (("provenance", "source"), "dream"),
    ],
)
def test_a_spoilt_diagnosis_is_not_valid(
    document: dict[str, Any], path: tuple[str | int, ...], value: Any
) -> None:
    at: Any = document
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    assert not DIAGNOSIS.is_valid(document)


def test_the_version_must_be_there(document: dict[str, Any]) -> None:
    del document["schema_version"]
    assert not DIAGNOSIS.is_valid(document)


def test_lines_of_a_recording_are_valid() -> None:
    lines = validator("recording")
    frame = Frame(
        seq=1, t_s=T0_S, samples=(make_sample(),), processes=(make_process(),), host=make_host_sample()
    )
    gap = Gap(t_s=T0_S, kind="silent", reason="driver not answering")
    for message in (make_hello(), frame, gap, End(t_s=T0_S, reason="stopped")):
        lines.validate(json.loads(msgspec.json.encode(message)))
    assert not lines.is_valid({"type": "frame"})
    assert not lines.is_valid({"type": "other", "t_s": 1.0})


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="diagnosis, recording, config"):
        json_schema("everything")  # type: ignore[arg-type]
