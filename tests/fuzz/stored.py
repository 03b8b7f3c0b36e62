"""What is stored as a secret: anything that a console, a shell or an editor makes of it."""

from __future__ import annotations

import ast
import base64
import inspect
import json
import re
from functools import cache
from typing import TYPE_CHECKING

from shared import stored_secret
from shared.stored_secret import App, SecretInvalid, Token, WebhookSecret, github_credential, webhook_secret
from tests.fuzz.source import Source
from tests.fuzz.watch import told, watched

if TYPE_CHECKING:
    from collections.abc import Callable

PIECE = 8
"""So many characters of a secret, told in a message, are too many."""

NAMES = ("token", "app_id", "private_key", "secret", "webhook-secret", "appId", "privateKey", "github_token", "", " ")
AROUND = ("", "\n", "\r\n", " ", "\t", "\ufeff", "\0")
ENCODINGS = (None, "utf-8", "utf-8-sig", "utf-16", "utf-16")
# Nothing like our own words, and no piece of one in the other.
CANARIES = ("zQ7!vK2#xW9$jP4%", "ghp_Zq7Vk2Xw9Jp4Zq8Vl3Yw0Kp5", "4f9be07c6d5a3218a6f0c3e7b1d2958f7a60be4d")
# What a file with a key has between its lines, and what became of that in an environment file, a console, a form field.
_LINE_ENDS = ("\n", "\r\n", "\\n", "\\r\\n", " ", "")
_FOUND = re.compile(r"found: (.*?)(?: and \d+ more)?(?:;|$)")


def secret_seeds() -> list[bytes]:
    raw = [b"", b"\0", b"s3cret\n", b'{"secret": "x"}', b"{}", b"{", b"-----BEGIN PRIVATE KEY-----", b"\xff\xfea\0"]
    # Which secret, which wrapping, what is before and behind it, which encoding.
    wrapped = [
        bytes([kind, 0, which, form, *rest])
        for kind in (3, 4)
        for which in range(6)
        for form in range(6)
        for rest in ((0, 0, 0), (5, 1, 3))
    ]
    return [*(bytes([kind]) + text for kind in (0, 1) for text in raw), b"\2\1\0\1\0", b"\2\3\0\1\0\1\2\2\3", *wrapped]


def secret(data: bytes) -> str:
    """What is stored is read, or refused without a piece of it; in an odd form it reads as in the plain one."""
    source = Source(data)
    match source.below(5):
        case 0:
            return _stranger(source, source.rest())
        case 1:
            return _stranger(source, source.rest().decode("utf-8", "surrogateescape"))
        case 2:
            text = json.dumps(source.object(NAMES), ensure_ascii=source.rarely())
            return _stranger(source, text)
        case 3:
            return _wrapped(source)
        case _:
            return _damaged(source)


def _read(read: Callable[[str | bytes], object], value: str | bytes) -> object:
    """What is read, or the refusal; anything else that is raised is what the fuzzer looks for."""
    with watched() as output:
        try:
            found = read(value)
        except SecretInvalid as invalid:
            found = invalid
    assert not output.getvalue()
    return found


def _stranger(source: Source, value: str | bytes) -> str:
    outcomes = []
    for read in (webhook_secret, github_credential):
        found = _read(read, value)
        if isinstance(found, SecretInvalid):
            check_refusal(str(found), value)
            outcomes.append("refused")
        else:
            assert isinstance(found, WebhookSecret | Token | App)
            outcomes.append("read")
    return f"anything: {' '.join(outcomes)}"


def check_refusal(message: str, value: str | bytes) -> None:
    """A refusal's message is our own words, and names of keys.

    Raises:
        AssertionError: otherwise.
    """
    text = value if isinstance(value, str) else value.decode("utf-16" if value[:2] in _UTF16 else "utf-8", "replace")
    if found := _FOUND.search(message):
        names = [] if found[1].startswith("no ") else found[1].split(", ")
        assert not names or set(names) <= _keys(text), f"names what is no key: {message!a}"
        message = message.replace(found[1], "")
    for piece in _pieces(message):
        assert piece not in text or piece in _own_words(), f"quotes what is stored: {piece!a}"


_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@cache
def _own_words() -> str:
    """All texts in the reader's source, which a message may hold whatever is stored."""
    tree = ast.parse(inspect.getsource(stored_secret))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return "\n".join([*texts, "; " + stored_secret.NEEDED])


def _keys(text: str) -> set[str]:
    found = json.loads(text.strip("\ufeff \t\r\n\0"))
    assert isinstance(found, dict)
    return set(found)


def _pieces(text: str) -> set[str]:
    return {text[start : start + PIECE] for start in range(len(text) - PIECE + 1)}


def check_hidden(shown: str, hidden: str) -> None:
    """No piece of a secret is in a text.

    Raises:
        AssertionError: one is.
    """
    assert not _pieces(hidden) & _pieces(shown), f"a piece of the secret is in {shown!a}"


# --- good secrets


def _wrapped(source: Source) -> str:
    """A good secret in an odd form."""
    read, plain, value, hidden = _good(source)
    expected, found = _read(read, plain), _read(read, value)
    assert not isinstance(expected, SecretInvalid)
    assert _meant(found) == _meant(expected), f"{_meant(found)!a}, and plainly {_meant(expected)!a}"
    check_hidden(repr(found), hidden)
    form = getattr(found, "form", None)
    return f"{type(found).__name__} {form or 'plain'}"


def _damaged(source: Source) -> str:
    """A good secret in an odd form, that was damaged on its way: what is refused is refused without telling it."""
    _, _, value, hidden = _good(source)
    for _ in range(1 + source.below(3)):
        start = source.below(len(value) + 1)
        end = min(start + source.below(80), len(value))
        extra = source.block(6)
        value = (
            value[:start] + extra + value[end:]
            if isinstance(value, bytes)
            else value[:start] + extra.decode("utf-8", "surrogateescape") + value[end:]
        )
    outcomes = []
    for read in (webhook_secret, github_credential):
        found = _read(read, value)
        check_hidden(told(found) if isinstance(found, SecretInvalid) else repr(found), hidden)
        outcomes.append("refused" if isinstance(found, SecretInvalid) else "read")
    return f"damaged: {' '.join(outcomes)}"


def _meant(found: object) -> object:
    """What is used of it at first; how it was stored does not matter."""
    match found:
        case WebhookSecret():
            return found.candidates[0]
        case Token():
            return found.token
        case App():
            return found.id, found.private_key
        case _:
            raise AssertionError(f"refused: {found}")


def _good(source: Source) -> tuple[Callable[[str | bytes], object], str, str | bytes, str]:
    """A good secret: who reads it, as it is documented, as it is stored, and what of it nobody may see."""
    own = "" if not source.rarely() else "".join(c for c in source.text(40) if "!" <= c <= "~").lstrip("{\"'")
    read: Callable[[str | bytes], object]
    match source.below(6):
        case 0 | 1 as which:
            read, hidden = webhook_secret, own if len(own) >= PIECE else CANARIES[which * 2]
            plain, text = hidden, _in_form(source, hidden, NAMES)
        case 2 | 3 as which:
            is_own = len(own) >= PIECE and "-----BEGIN" not in own
            read, hidden = github_credential, own if is_own else CANARIES[which - 1]
            # Any other key is taken for a token only that tells by itself that it is one.
            names = NAMES if hidden == CANARIES[1] else ("token",)
            plain, text = (
                hidden,
                _in_form(source, hidden, [name for name in names if name not in ("app_id", "private_key")]),
            )
        case _:
            read = github_credential
            hidden = base64.b64encode(bytes(range(40, 120)) + own.encode()).decode()
            plain, text = _app(hidden), _app_in_form(source, hidden)
    text = source.pick(AROUND) + text + source.pick(AROUND)
    encoding = source.pick(ENCODINGS)
    return read, plain, text if encoding is None else text.encode(encoding), hidden


def _in_form(source: Source, text: str, names: tuple[str, ...] | list[str]) -> str:
    match source.below(4):
        case 0:
            return text
        case 1 | 2 as which:
            quote = "\"'"[which - 1]
            return f"{quote}{text}{quote}"
        case _:
            return json.dumps({source.pick(names): source.pick(AROUND) + text + source.pick(AROUND)})


def _pem(body: str, line_end: str = "\n") -> str:
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return line_end.join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----", ""])


def _app(body: str) -> str:
    return json.dumps({"app_id": 7, "private_key": _pem(body)})


def _app_in_form(source: Source, body: str) -> str:
    key = _pem(body, source.pick(_LINE_ENDS))
    if source.rarely():
        key = base64.b64encode((source.pick(("", "\ufeff")) + key).encode()).decode()
        width = source.pick((76, 64, len(key)))
        key = "\n".join(key[start : start + width] for start in range(0, len(key), width))
    key = source.pick(AROUND) + key + source.pick(AROUND)
    fields = {"app_id": source.pick((7, "7", " 7\n")), "private_key": key}
    if source.rarely():
        fields[source.pick(("note", "client_secret"))] = "x"
    return json.dumps(fields)
