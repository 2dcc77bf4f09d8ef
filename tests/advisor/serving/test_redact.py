"""Names of other hosts in what leaves: in endpoints, in findings, and in whatever else quotes them."""

from __future__ import annotations

import msgspec
import pytest

from advisor.reports.redact import host_hash
from advisor.reports.serving_redact import hashed_hosts, redact_serving, without_hosts
from advisor.serving.document import ServingReport, Unread
from rules.serving import ServingFigures
from tests.factories import make_finding


def report(endpoint: str) -> ServingReport:
    """One whose every text quotes the endpoint, and one that could not be read."""
    said = f"vLLM at {endpoint} is batch-starved, see http://{endpoint.upper()}/metrics."
    finding = msgspec.structs.replace(make_finding("SERVE001"), claim=said, actions=(said,))
    figures = ServingFigures(
        endpoint=endpoint,
        engine="vllm",
        model="vllm-tuned",
        t_start_s=0.0,
        t_end_s=1.0,
        price_source=said,
        notes=(said,),
        missing={"tok_j": said},
    )
    unread = Unread(endpoint=f"{endpoint.rpartition(':')[0]}:9000", reason=f"no, {endpoint}")
    return ServingReport(
        advisor_version="1",
        created="now",
        t_start_s=0.0,
        t_end_s=1.0,
        engines=(figures,),
        unread=(unread,),
        findings=(finding,),
        no_gpu=said,
        notes=(said,),
    )


@pytest.mark.parametrize("host", ["node7.corp.example", "10.20.30.40", "[fe80::7]"])
def test_no_byte_holds_the_name_of_another_host(host: str) -> None:
    before = report(f"{host}:8000")
    text = msgspec.json.encode(redact_serving(before, leaves=True)).decode()
    assert host not in text.lower()
    assert text.count(host_hash(host)) == msgspec.json.encode(before).decode().lower().count(host)


@pytest.mark.parametrize("host", ["vllm", "gpu", "node-a"])
def test_a_name_that_may_be_a_word_goes_with_its_port_and_leaves_words_alone(host: str) -> None:
    clean = redact_serving(report(f"{host}:8000"), leaves=True)
    text = msgspec.json.encode(clean).decode().lower()
    assert f"{host}:8000" not in text and f"{host}:9000" not in text
    assert (clean.engines[0].engine, clean.engines[0].model) == ("vllm", "vllm-tuned")


@pytest.mark.parametrize("endpoint", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000"])
def test_loopback_names_nobody(endpoint: str) -> None:
    assert redact_serving(report(endpoint), leaves=True) == report(endpoint)


def test_a_terminal_shows_where_and_hides_secrets() -> None:
    shown = redact_serving(report("node7.corp.example:8000"), leaves=False)
    assert shown.engines[0].endpoint == "node7.corp.example:8000"
    path = msgspec.structs.replace(shown.engines[0], model="/home/alice/models/x")
    hidden = redact_serving(msgspec.structs.replace(shown, engines=(path,)), leaves=False)
    assert "alice" not in (hidden.engines[0].model or "")


def test_parts_of_other_words_stay() -> None:
    names = hashed_hosts(["10.0.0.1:80", "a.b:81"])
    kept = "10.0.0.12 110.0.0.1 10.0.0.1.5 xa.b a.bc a.b-c"
    assert without_hosts(kept, names) == kept
    assert without_hosts("at a.b, 10.0.0.1.", names) == f"at {host_hash('a.b')}, {host_hash('10.0.0.1')}."
