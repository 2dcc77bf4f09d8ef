"""An HTTP server in a thread that serves pages of metrics, or misbehaves in a way that a test names."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Writes a whole answer, headers and all, for one path.
Answer = Callable[[BaseHTTPRequestHandler], None]


@contextlib.contextmanager
def serving(answer: Answer, port: int = 0) -> Iterator[int]:
    """A server that answers every GET with `answer`; its port, of 0 a free one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError):
                answer(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    """A whole, well-formed answer."""
    handler.send_response(status)
    for name, value in {"Content-Type": "text/plain; version=0.0.4", **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def page(*texts: str, path: str = "/metrics") -> Answer:
    """Serves these pages in turn at `path`, the last one for ever; other paths are not found."""
    left = list(texts)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path != path:
            send(handler, b"not here", 404)
            return
        send(handler, (left.pop(0) if len(left) > 1 else left[0]).encode())

    return answer


class Held:
    """An answer that does not come before `let_go`. asked: somebody waits for it."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._free = threading.Event()

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.set()
        self._free.wait(60)
        send(handler, b"at last", 404)

    def let_go(self) -> None:
        """Answer."""
        self._free.set()


def endless(handler: BaseHTTPRequestHandler) -> None:
    """A body without an end, as fast as it is read."""
    handler.send_response(200)
    handler.end_headers()
    line = b'vllm:prompt_tokens_total{engine="0"} 1.0\n' * 1000
    while True:
        handler.wfile.write(line)


def dripping(handler: BaseHTTPRequestHandler) -> None:
    """A header that arrives byte by byte, each in time for a socket's own timeout."""
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 10_000:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        time.sleep(0.05)


def silent(handler: BaseHTTPRequestHandler) -> None:
    """An answer that never comes."""
    del handler
    time.sleep(30)
