"""Endpoints over real HTTP: engines that answer, and everything else that may listen on a port."""

from __future__ import annotations

import gzip
import os
import queue
import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest

from advisor.serving.fetch import Attempt, FetchError, Target, bearer, parse_url
from advisor.serving.scrape import Owner, Scraper
from advisor.telemetry.records import EngineLook
from tests.advisor.serving import pages, server
from tests.advisor.serving.server import Answer, send

QUICK_S = 0.5


def look_at(answer: Answer, path: str = "", deadline_s: float = 5.0) -> EngineLook:
    with server.serving(answer) as port:
        target = Target(scheme="http", host="127.0.0.1", port=port, path=path)
        return Scraper(target, deadline_s=deadline_s).look()


@pytest.mark.parametrize("engine", sorted(pages.PAGES))
def test_an_engine_is_known_by_its_page(engine: str) -> None:
    look = look_at(server.page(pages.PAGES[engine]()))
    assert (look.engine, look.problem) == (engine, "")
    assert look.readings


def test_trtllm_serve_has_json_at_metrics_and_its_metrics_elsewhere() -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        known = {"/metrics": b"[]", "/prometheus/metrics": pages.trtllm().encode()}
        send(handler, known.get(handler.path, b""), 200 if handler.path in known else 404)

    with server.serving(answer) as port:
        scraper = Scraper(Target(scheme="http", host="127.0.0.1", port=port))
        assert [scraper.look().engine for _ in range(2)] == ["tensorrt-llm"] * 2


def test_a_redirect_on_the_same_host_is_followed() -> None:
    """vLLM mounts its metrics so that /metrics leads to /metrics/."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/metrics/":
            send(handler, pages.vllm_v1().encode())
        else:
            send(handler, b"", 307, Location="/metrics/")

    assert look_at(answer).engine == "vllm"


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://example.invalid/metrics", "another host"),
        ("https://127.0.0.1/metrics", "another host"),
        ("/metrics", "more than 2 times"),
        ("file:///etc/passwd", "not an http"),
    ],
)
def test_other_redirects_are_not(location: str, why: str) -> None:
    look = look_at(lambda handler: send(handler, b"", 302, Location=location), "/metrics")
    assert why in look.problem
    assert not look.readings


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<!DOCTYPE html><html>Grafana</html>", "is a web page"),
        (b'{"status": "ok"}', "is JSON"),
        (b"", "is empty"),
        (b"!!! ??? ~~~\n\x00\xff\xfe\n", "holds no metrics"),
        (b"node_cpu_seconds_total 1\nnode_load1 2\n", "of no engine"),
        (b"\x1f\x8b\x08\x00binary", "holds no metrics"),
    ],
)
def test_other_pages_are_told_apart(body: bytes, why: str) -> None:
    look = look_at(lambda handler: send(handler, body), "/metrics")
    assert why in look.problem


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (404, "no such page"),
        (401, "asks for a password"),
        (500, "answers with an error (500)"),
        (501, "--metrics"),
        (503, "is not ready"),
    ],
)
def test_refusals_say_what_to_do(status: int, why: str) -> None:
    assert why in look_at(lambda handler: send(handler, b"no", status), "/metrics").problem


def test_a_compressed_body_is_refused_unread() -> None:
    bomb = gzip.compress(b"\0" * (1 << 20))
    look = look_at(lambda handler: send(handler, bomb, Content_Encoding="gzip"), "/metrics")
    assert "'gzip'" in look.problem


def test_an_endless_body_ends_at_the_size_that_is_allowed() -> None:
    assert "larger than 8 MiB" in look_at(server.endless, "/metrics", 20.0).problem


@pytest.mark.parametrize("answer", [server.dripping, server.silent])
def test_a_slow_endpoint_costs_no_more_than_the_deadline(answer: Answer) -> None:
    begun_s = time.monotonic()
    look = look_at(answer, "/metrics", QUICK_S)
    assert "no whole answer" in look.problem or "in time" in look.problem
    assert time.monotonic() - begun_s < 3 * QUICK_S


def test_a_body_that_is_cut_off_is_no_reading() -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        handler.wfile.write(pages.vllm_v1().encode())

    look = look_at(answer, "/metrics")
    assert "cut off" in look.problem or "IncompleteRead" in look.problem


def test_no_http_at_all_and_nobody_at_all() -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"\x00\x01SSH-2.0-OpenSSH\r\n")

    assert "does not speak HTTP" in look_at(answer, "/metrics").problem
    assert "nothing listens" in Scraper(Target(scheme="http", host="127.0.0.1", port=1)).look().problem


def test_a_password_and_a_token_are_sent_and_never_shown() -> None:
    heard: list[str | None] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        heard.append(handler.headers.get("Authorization"))
        send(handler, pages.vllm_v1().encode())

    with server.serving(answer) as port:
        for url, token in ((f"http://me:hunter2@127.0.0.1:{port}", None), (f"127.0.0.1:{port}", "s3cret")):
            target = parse_url(url, token)
            look = Scraper(target).look()
            assert look.endpoint == f"127.0.0.1:{port}"
            assert "hunter2" not in repr(look) and "s3cret" not in repr(look)
    assert heard == ["Basic bWU6aHVudGVyMg==", "Bearer s3cret"]


@pytest.mark.parametrize(
    ("url", "endpoint", "path"),
    [
        ("localhost:8000", "localhost:8000", ""),
        ("http://h/", "h:80", ""),
        ("https://h:8443/v1/metrics?token=x", "h:8443", "/v1/metrics?token=x"),
        ("http://[::1]:9000", "[::1]:9000", ""),
    ],
)
def test_addresses_as_people_write_them(url: str, endpoint: str, path: str) -> None:
    target = parse_url(url)
    assert (target.endpoint, target.path) == (endpoint, path)


@pytest.mark.parametrize(
    "url", ["ftp://h", "http://", "http://h:99999", "http://h:x", "http://h/a\nb", "http://h:0"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ValueError, match=r"host|port|URL"):
        parse_url(url)


def test_a_fetch_says_why_it_failed() -> None:
    with pytest.raises(FetchError, match="nothing listens"):
        Attempt(Target(scheme="http", host="127.0.0.1", port=1), "/").page()


@pytest.mark.parametrize(("text", "token"), [("s3cret\n", "s3cret"), ("  s3cret ", "s3cret"), ("\r\n", None)])
def test_a_token_is_taken_without_the_line_break_of_its_file(text: str, token: str | None) -> None:
    assert bearer(text) == token


@pytest.mark.parametrize("text", ["two words", "a\nb", "clé", "\x1b[0m"])
def test_a_token_that_no_header_carries_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ValueError, match="ASCII") as found:
        bearer(text)
    assert text not in str(found.value)


def test_whatever_goes_wrong_with_a_page_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RecursionError("deep")

    monkeypatch.setattr("advisor.serving.scrape.read_page", broken)
    assert "RecursionError" in look_at(server.page(pages.vllm_v1())).problem
    monkeypatch.setattr("threading.Thread.start", _no_more_threads)
    look = Scraper(Target(scheme="http", host="127.0.0.1", port=1)).look()
    assert "can't start new thread" in look.problem


def _no_more_threads(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_scraper_that_is_closed_lets_go_of_a_page_that_never_comes() -> None:
    held, looks = server.Held(), queue.SimpleQueue[EngineLook]()
    with server.serving(held) as port:
        scraper = Scraper(Target(scheme="http", host="127.0.0.1", port=port), deadline_s=600.0)
        threading.Thread(target=lambda: looks.put(scraper.look()), daemon=True).start()
        assert held.asked.wait(20)
        scraper.close()
        assert looks.get(timeout=20).problem
        assert "no time left" in scraper.look().problem
        held.let_go()


def test_the_owner_is_looked_for_again_where_it_may_have_changed() -> None:
    owners: dict[int, int | None] = {7: os.getpid(), 8: None}
    asked: list[int] = []

    def find(inode: int) -> int | None:
        asked.append(inode)
        return owners[inode]

    owner = Owner()
    assert [owner.of(inode, find) for inode in (None, 7, 7, 8, 8, 7)] == [
        None,
        *[os.getpid()] * 2,
        *[None] * 2,
        os.getpid(),
    ]
    assert asked == [7, 8, 7]
    owners[8] = 999_999_999
    assert [owner.of(8, find), owner.of(8, find)] == [999_999_999] * 2
    assert asked[3:] == [8, 8]
