"""Secrets and home directories in texts and command lines, found by pattern and by word.

A secret is replaced, never hashed: what a short one was can be tried.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence

REDACTED = "REDACTED"
SECRET_KINDS = ("private key", "URL credentials", "authorization header", "named secret", "key or token")

_SENSITIVE = r"secret|passw|passphrase|passwd|pwd|credential|token|access|key|cookie|auth|signature"
_SENSITIVE_NAME = re.compile(
    rf"(?i){_SENSITIVE}|(?<![a-z])api|api(?![a-z])|apikey|(?:^|[_.-])(?:sig|sas|pw|pin)$"
)
# Names that hold one of those words and no secret. What is left of a name without them decides.
_HARMLESS_NAME = re.compile(
    r"(?i)tokeniz\w*|(?:num[_-]?)?(?:key[_-]?value|kv)[_-]?heads?|key[_-]?(?:frame|point|board)s?|monkey"
    r"|author(?!iz)s?\w*|api[_-]?server[_-]?count|enable[_-]?auto[_-]?tool\w*|trust[_-]?remote\w*"
)
_COUNT_NAME = re.compile(r"(?i)tokens(?![a-z])")
_COUNT = re.compile(r"[+-]?[\d_,]{1,9}(?:\.\d{1,6})?[kKmM]?|true|false|auto|none|null", re.IGNORECASE)

_NAME = r"\w[\w.-]*"
_QUOTED = r"\"(?:[^\"\\]|\\.){0,4096}\"|'[^']*'"
_VALUE = rf"(?:{_QUOTED}|\\.|\S)+"
_VALUE_PATTERN = re.compile(_VALUE, re.DOTALL)
_FLAG_VALUE = re.compile(rf"(?!--){_VALUE}", re.DOTALL)
_PAIR_VALUE = re.compile(rf"(?:{_QUOTED})(?=[\s,}}\]]|\Z)|{_VALUE}", re.DOTALL)
_START = r"(?:(?<![\w-])-+|(?<![\w.-]))"
# NAME=value and --name=value; --name value; name: value and "name": "value"
_ASSIGNED = re.compile(rf"(?P<name>{_START}{_NAME})\s*[+:?]?=\s*")
_FLAG = re.compile(rf"(?P<name>(?<![\w-])-+{_NAME})\s+")
_PAIR = re.compile(rf"(?P<name>{_START}{_NAME})[\"']?\s*:\s*")
_PAIR_NAME = re.compile(
    r"(?i)secret|passw|passphrase|credential|token|api[_-]?key|access[_-]?key|private[_-]?key|authorization"
)

_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_URL_CREDENTIALS = re.compile(r"(?<=://)[^\s/]*@")
_AUTHORIZATION = re.compile(
    r"(?i)(?P<link>(?:proxy-)?authorization\s*[:=]\s*(?:(?:bearer|basic|digest|token|negotiate|apikey)\s+)?"
    r"|\bbearer\s+|\bcookie\s*:\s*(?=\S))(?P<value>(?:(?<=ie:)|(?<=ie: ))[^\n\"']+|[^\s\"']+)"
)
# Commands whose secret has no name: `wandb login KEY`, `sshpass -p PASSWORD`, `curl -u user:password`.
_POSITIONAL = re.compile(
    r"(?P<link>\bwandb\s+login\s+(?:--\S+\s+)*|\bsshpass\s+-p\s*|(?<!\S)(?:-u|--user|--proxy-user)[\s=]+(?=[^\s:]+:)"
    r"(?!\d+:\d+(?:\s|\Z)))(?P<value>[^\s-]\S*)"
)
# Shapes that issuers document for their own keys, so that scanners can find them.
_TOKEN_SHAPES = re.compile(
    r"hf_[A-Za-z0-9]{16,}"
    r"|(?<![A-Za-z0-9])(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}"
    r"|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[\w-]{16,}"
    r"|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"
    r"|xox[abeoprs]-[\w-]{10,}|hooks\.slack\.com/services/[\w/]+"
    r"|AIza[\w-]{30,}|ya29\.[\w-]{20,}|nvapi-[\w-]{20,}|r8_[A-Za-z0-9]{20,}"
    r"|npm_[A-Za-z0-9]{20,}|pypi-[\w-]{20,}|dckr_pat_[\w-]{16,}|wandb_v\d_\w{20,}|local-[0-9a-f]{40}"
    r"|eyJ[\w-]{6,}\.[\w-]{6,}(?:\.[\w-]*)?"
)
# What follows `-p` and is no password: another flag, a number or port, a path.
_NO_PASSWORD = re.compile(r"-.*|[\d.:]{1,32}|(?:~|\.{1,2})?/.*|\Z", re.DOTALL)
_NUMERIC_IDS = re.compile(r"\d+:\d+")
_HOME = re.compile(r"(?P<root>/(?:home|Users)/)(?!~)[^/\s\"':,;=]+")


def is_secret_name(name: str) -> bool:
    """Whether a flag or variable of this name is expected to hold a secret."""
    return bool(_SENSITIVE_NAME.search(_HARMLESS_NAME.sub("", name.strip("\"'-"))))


def _is_count(name: str, value: str) -> bool:
    """`--max-tokens 512` counts tokens of text; it holds none of the other kind."""
    return bool(_COUNT_NAME.search(name) and _COUNT.fullmatch(value.strip("\"'")))


def redact_line(line: str) -> tuple[str, list[str]]:
    """A shell line as `redact_command` leaves it; as `redact_text` does where it is no shell line.

    A second pass finds nothing more.
    """
    kinds: list[str] = []
    for _ in range(8):
        try:
            clean, found = redact_command(shlex.split(line))
        except ValueError:  # a quote that never closes
            clean, found = redact_text(line)
        kinds += found
        if clean == line:
            break
        line = clean
    return line, kinds


def redact_command(argv: Sequence[str]) -> tuple[str, list[str]]:
    """A command as one shell line with its secrets replaced by REDACTED, and the kind of each.

    Home directories are shortened to `~`. The line can be run again once the secrets are put back. Word by
    word more is known than of free text: which flag a value belongs to, and where it ends.
    """
    words: list[str] = []
    kinds: list[str] = []
    for position, word in enumerate(argv):
        clean, found = _redact_word(argv[position - 1] if position else "", word)
        words.append(clean)
        kinds += found
    line, more = redact_text(" ".join(_quote(word) for word in words))
    return line, kinds + more


def _quote(word: str) -> str:
    """As shlex does it, but a path below `~` stays readable."""
    return word if re.fullmatch(r"[\w@%+=:,./~-]+", word) else shlex.quote(word)


def _redact_word(previous: str, word: str) -> tuple[str, list[str]]:
    """One argument, given the one before it, which may be the flag it belongs to."""
    if word == REDACTED:
        return word, []
    if _takes_secret(previous) and not word.startswith("--") and not _is_count(previous, word):
        return REDACTED, ["named secret"]
    if previous == "-p" and not _NO_PASSWORD.fullmatch(word):
        return REDACTED, ["named secret"]
    if previous in ("-u", "--user", "--proxy-user") and ":" in word and not _NUMERIC_IDS.fullmatch(word):
        return REDACTED, ["named secret"]
    name, equals, value = word.partition("=")
    if equals and value != REDACTED and _is_plain_secret(name, value):
        return f"{name}={REDACTED}", ["named secret"]
    return redact_text(word)


def _takes_secret(flag: str) -> bool:
    return flag.startswith("-") and "=" not in flag and is_secret_name(flag)


def _is_plain_secret(name: str, value: str) -> bool:
    return (
        bool(value)
        and re.fullmatch(rf"-{{0,2}}{_NAME}", name) is not None
        and (is_secret_name(name) and not _is_count(name, value))
    )


def redact_text(text: str) -> tuple[str, list[str]]:
    """The text without secrets and home directories, and the kind of each that was removed.

    Kinds are those of SECRET_KINDS and "home path". A second pass finds nothing more.
    """
    kinds: list[str] = []
    for _ in range(8):
        clean = _pass(text, kinds)
        if clean == text:
            break
        text = clean
    return text, kinds


def _pass(text: str, kinds: list[str]) -> str:
    """One pass over the text. Removing one secret can bring another into reach, so passes repeat."""
    text = _PRIVATE_KEY.sub(_replacer("private key", kinds), text)
    text = _URL_CREDENTIALS.sub(_replacer("URL credentials", kinds, "@"), text)
    text = _AUTHORIZATION.sub(_linked("authorization header", kinds), text)
    text = _POSITIONAL.sub(_linked("named secret", kinds), text)
    text = _redact_named(_ASSIGNED, _VALUE_PATTERN, is_secret_name, text, kinds)
    text = _redact_named(_FLAG, _FLAG_VALUE, is_secret_name, text, kinds)
    text = _redact_named(_PAIR, _PAIR_VALUE, _is_secret_pair, text, kinds)
    text = _TOKEN_SHAPES.sub(_replacer("key or token", kinds), text)
    return _HOME.sub(_home(kinds), text)


def _is_secret_pair(name: str) -> bool:
    return bool(_PAIR_NAME.search(_HARMLESS_NAME.sub("", name)))


_Replace = Callable[[re.Match[str]], str]


def _replacer(kind: str, kinds: list[str], suffix: str = "") -> _Replace:
    def replace(match: re.Match[str]) -> str:
        if match[0] != REDACTED + suffix:
            kinds.append(kind)
        return REDACTED + suffix

    return replace


def _linked(kind: str, kinds: list[str]) -> _Replace:
    def replace(match: re.Match[str]) -> str:
        if match["value"] != REDACTED:
            kinds.append(kind)
        return match["link"] + REDACTED

    return replace


def _redact_named(
    head: re.Pattern[str],
    value: re.Pattern[str],
    is_secret: Callable[[str], bool],
    text: str,
    kinds: list[str],
) -> str:
    """Replace what follows secret names. What follows any other name is searched for names in its turn."""
    parts: list[str] = []
    done = position = 0
    while found := head.search(text, position):
        position = found.end()
        held = value.match(text, position) if is_secret(found["name"]) else None
        if held is None or _is_count(found["name"], held[0]):
            continue
        if held[0] != REDACTED:
            kinds.append("named secret")
        parts += text[done:position], REDACTED
        done = position = held.end()
    return "".join([*parts, text[done:]])


def _home(kinds: list[str]) -> _Replace:
    def replace(match: re.Match[str]) -> str:
        kinds.append("home path")
        before = match.string[: match.start()][-1:]
        return match["root"] + "~" if re.match(r"[\w.@+~-]", before) else "~"

    return replace
