"""Fetch: one page of metrics over HTTP, within a time and a size, from a server that may be hostile."""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import threading
import time
from typing import NoReturn
from urllib.parse import unquote, urljoin, urlsplit

import msgspec

MAX_BYTES = 8 << 20
DEADLINE_S = 3.0
MAX_REDIRECTS = 2
# What servers answer while they load a model.
LOADING = 503
_CHUNK_BYTES = 1 << 16
_MOVED = (301, 302, 303, 307, 308)
_SCHEMES = ("http", "https")


class FetchError(Exception):
    """A page could not be had, and why. status: the server's answer, where it gave one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where metrics are read. path: "" tries the usual ones. authorization: a header's value, never shown."""

    scheme: str
    host: str
    port: int
    path: str = ""
    authorization: str | None = None

    @property
    def endpoint(self) -> str:
        """Host and port, without anything that could be a secret."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page that was read. started: what tells this process of the server from the next, if it says so."""

    text: str
    path: str
    started: str | None = None


def parse_url(url: str, token: str | None = None) -> Target:
    """The target that a person names: a URL, or HOST:PORT. Raises ValueError that says what is wrong.

    A user and password in it become an Authorization header; token (see bearer) is sent where there is none.
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in _SCHEMES:
        raise ValueError("not an http or https URL")
    try:
        port = parts.port
    except ValueError as error:
        raise ValueError("its port is no number from 1 to 65535") from error
    if not parts.hostname or port == 0 or any(c.isspace() or not c.isprintable() for c in url):
        raise ValueError("it names no host, such as http://localhost:8000")
    path = parts.path if parts.path not in ("", "/") else ""
    query = f"?{parts.query}" if parts.query else ""
    return Target(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or (443 if parts.scheme == "https" else 80),
        path=(path or ("/metrics" if query else "")) + query,
        authorization=_authorization(parts.username, parts.password, token),
    )


def _authorization(user: str | None, password: str | None, token: str | None) -> str | None:
    if user is not None:
        pair = f"{unquote(user)}:{unquote(password or '')}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"
    return f"Bearer {token}" if token else None


def bearer(text: str) -> str | None:
    """The token in a text, without the line break that files end in; None where it is empty.

    Raises ValueError, which does not show it, where no header can carry it.
    """
    token = text.strip()
    if any(not "!" <= character <= "~" for character in token):
        raise ValueError("it holds a space, a line break or a character that is not ASCII")
    return token or None


class Attempt:
    """One page on the way.

    The work is done on a thread that is given up at the deadline: names that do not resolve, handshakes and
    headers that drip in byte by byte cannot hold the caller.
    """

    def __init__(
        self, target: Target, path: str, deadline_s: float = DEADLINE_S, max_bytes: int = MAX_BYTES
    ) -> None:
        self._target = target
        self._path = path
        self._deadline_s = deadline_s
        self._until_s = time.monotonic() + deadline_s
        self._max_bytes = max_bytes
        self._connection: http.client.HTTPConnection | None = None
        self._over = threading.Event()
        self._found: Page | None = None
        self._error: FetchError | None = None

    def page(self) -> Page:
        """Wait for it. Raises FetchError."""
        threading.Thread(target=self.run, name="advisor-scrape", daemon=True).start()
        if not self._over.wait(self._deadline_s + 0.05):
            late = FetchError(f"no whole answer within {self._deadline_s:g} s")
            self._close()
            raise late
        if self._found is None:
            raise self._error or FetchError("it was given up")
        return self._found

    def give_up(self) -> None:
        """Let whoever waits for it go on at once."""
        self._over.set()
        self._close()

    def run(self) -> None:
        """Read the page, following redirects that stay on this host."""
        try:
            path = self._path
            for _ in range(MAX_REDIRECTS + 1):
                moved = self._one(path)
                if moved is None:
                    return
                path = self._moved_to(path, moved)
            raise FetchError(f"redirects more than {MAX_REDIRECTS} times")
        except FetchError as error:
            self._error = error
        except Exception as error:  # whatever a server sends, the reason is all there is to say
            self._error = FetchError(_reason(error))
        finally:
            self.give_up()

    def _close(self) -> None:
        """Close the connection under whoever reads it."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with contextlib.suppress(Exception):
            if connection.sock is not None:
                connection.sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(Exception):
            connection.close()

    def _one(self, path: str) -> str | None:
        """Ask once: where it moved to, or None with the page found."""
        self._close()
        connection = self._connection = _connection(self._target, self._left_s())
        connection.request("GET", path, headers=self._headers())
        response = connection.getresponse()
        if response.status in _MOVED:
            return response.getheader("Location") or _raise(f"redirects to nowhere ({response.status})")
        if response.status != 200:
            raise FetchError(_refusal(response.status), response.status)
        encoding = (response.getheader("Content-Encoding") or "identity").lower()
        if encoding != "identity":
            raise FetchError(f"sends {encoding[:20]!r} though plain text was asked for")
        raw = self._body(response)
        started = response.getheader("Process-Start-Time-Unix")
        self._found = Page(text=raw.decode("utf-8", "replace"), path=path, started=started and started[:40])
        return None

    def _headers(self) -> dict[str, str]:
        plain = {"Accept": "text/plain;version=0.0.4, text/plain;q=0.5", "Accept-Encoding": "identity"}
        secret = self._target.authorization
        return {**plain, "User-Agent": "gpu-advisor", **({"Authorization": secret} if secret else {})}

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        parts: list[bytes] = []
        size = 0
        while chunk := response.read1(_CHUNK_BYTES):
            size += len(chunk)
            if size > self._max_bytes:
                raise FetchError(f"is larger than {self._max_bytes >> 20} MiB; this is no page of metrics")
            parts.append(chunk)
            self._left_s()
        if response.length:
            raise FetchError("the answer was cut off")
        return b"".join(parts)

    def _left_s(self) -> float:
        left_s = self._until_s - time.monotonic()
        return left_s if left_s > 0 else _raise("no whole answer in time")

    def _moved_to(self, path: str, location: str) -> str:
        base = f"{self._target.scheme}://{self._target.endpoint}{path}"
        there = parse_url(urljoin(base, location))
        if (there.scheme, there.host, there.port) != (
            self._target.scheme,
            self._target.host,
            self._target.port,
        ):
            raise FetchError("redirects to another host, which is not followed")
        return there.path or "/"


def _connection(target: Target, timeout_s: float) -> http.client.HTTPConnection:
    kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
    return kind(target.host, target.port, timeout=timeout_s)


def _refusal(status: int) -> str:
    known = {
        401: "asks for a password or token",
        403: "refuses access",
        404: "has no such page",
        501: "has its metrics switched off",
        LOADING: "is not ready, as while it loads a model",
    }
    return f"{known.get(status, 'answers with an error')} ({status})"


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, socket.gaierror):
        return "the host's name is unknown"
    if isinstance(error, http.client.HTTPException):
        return f"does not speak HTTP as it should ({type(error).__name__})"
    return f"{type(error).__name__}: {error}"[:200]


def _raise(message: str) -> NoReturn:
    raise FetchError(message)
