"""Reads secrets in the forms in which people store them.

A secret passes through consoles, ``--secret-string file://``, PowerShell, environment files and Terraform, and comes
with a line break behind it, a byte order mark, quotes, as the console's key/value pair, a key with escaped line breaks.
Every form that can mean one thing only is taken. Any other is refused with what is wrong with it, quoting nothing of
it. Reports: github-aws-runners/terraform-aws-github-runner#40, #914 and #1341, octokit/app.js#40, PyGithub#1929.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.telemetry import Telemetry

TOKEN_KEYS = frozenset({"token"})
APP_KEYS = frozenset({"app_id", "private_key"})
NEEDED = "needed are token, or app_id and private_key"

# What Secrets Manager's console, a shell or an editor leaves around a value. No secret of GitHub's begins or ends so.
_AROUND = "\ufeff \t\r\n\0"
_QUOTES = ('"', "'")
_TOKEN = re.compile(r"[\x21-\x7e]+")
# Tokens that tell by themselves that they are some: docs.github.com, "GitHub's token formats".
_KNOWN_TOKEN = re.compile(r"(gh[pousr]_|github_pat_)[A-Za-z0-9_]+")
_APP_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PEM = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----(.*?)-----END \1-----", re.DOTALL)
_PEM_LINE = 64
# Names have few digits; a key of many may be a secret in the wrong field: tokens of old and generated secrets are hex.
_KEY_NAME = re.compile(r"(?!(?:\D*\d){4})[A-Za-z_][A-Za-z0-9_.-]{0,39}")


class SecretInvalid(Exception):
    """The secret cannot be read. The text tells what is wrong, and quotes no value."""


@dataclass(frozen=True)
class WebhookSecret:
    """The webhook's secret.

    Args:
        candidates: what the secret may be, in UTF-8: one value, or two where it is not certain that what is around it
            does not belong to it. A signature under any of them is good.
        form: in which other form than plain text it was stored; None for plain text.
    """

    candidates: tuple[bytes, ...] = field(repr=False)
    form: str | None = None


@dataclass(frozen=True)
class Token:
    """A token for GitHub's API."""

    token: str = field(repr=False)
    form: str | None = None
    """In which other form than the documented ones it was stored."""


@dataclass(frozen=True)
class App:
    """A GitHub App's id, or client id, and its private key in PEM."""

    id: str
    private_key: str = field(repr=False)
    form: str | None = None
    """In which other form than the documented one it was stored."""


class FormNotice:
    """Tells the log, once an environment, that a secret is stored in another form than the documented one.

    Args:
        secret: what it is called there.
        telemetry: where it is told.
    """

    def __init__(self, secret: str, telemetry: Telemetry) -> None:
        self._secret = secret
        self._telemetry = telemetry
        self._is_told = False

    def tell(self, form: str | None) -> None:
        """Tells of this form; None is the documented one."""
        if form is not None and not self._is_told:
            self._is_told = True
            self._telemetry.log.warning("secret taken in another form", secret=self._secret, form=form)


def webhook_secret(value: str | bytes) -> WebhookSecret:
    """The webhook's secret as it is entered at GitHub.

    Args:
        value: what is stored: plain text; with white space or a byte order mark around it, in quotes, or as the one
            value of a JSON object, as the console's key/value pair is.

    Raises:
        SecretInvalid: it is empty, or a JSON object with several keys.
    """
    text = _text(value)
    plain = text.strip(_AROUND)
    if not plain:
        raise SecretInvalid("it is empty")
    around = None if plain == text else "with a line break, blanks or a byte order mark around it"
    found = _object(plain)
    if found is not None:
        if len(found) != 1:
            raise SecretInvalid(f"it is a JSON object with several keys or none; found: {_names(found)}")
        (inner,) = found.values()
        if not isinstance(inner, str) or not inner.strip(_AROUND):
            raise SecretInvalid("it is a JSON object whose one value is no text")
        return WebhookSecret(_candidates(inner.strip(_AROUND), plain), "as the one value of a JSON object")
    if (bare := _unquoted(plain)) is not None:
        return WebhookSecret(_candidates(bare, plain), "in quotes")
    # Blanks may belong to it, line breaks cannot: GitHub's form holds none.
    return WebhookSecret(_candidates(plain, text.strip("\ufeff\r\n\0")), around)


def github_credential(value: str | bytes) -> Token | App:
    """The credential for GitHub's API.

    Args:
        value: what is stored: a token, as it is, in quotes, or as ``{"token": ...}``; or a GitHub App's ``{"app_id":
            ..., "private_key": ...}``, the key in PEM, its line breaks as they are, escaped or gone, or that in base64.

    Raises:
        SecretInvalid: it is none of these.
    """
    text = _text(value)
    plain = text.strip(_AROUND)
    if not plain:
        raise SecretInvalid("it is empty")
    around = None if plain == text.strip(" \t\r\n") else "with a byte order mark around it"
    found = _object(plain)
    if found is None and plain.startswith("{"):
        raise SecretInvalid("it begins like a JSON object, and is not JSON")
    if found is not None:
        return _of_fields(found, around)
    if "-----BEGIN" in plain or _decoded(plain) is not None:
        raise SecretInvalid("it is a private key alone; found: no app_id; needed are app_id and private_key, as JSON")
    bare = _unquoted(plain)
    return Token(_token(plain if bare is None else bare), around if bare is None else "in quotes")


def _of_fields(found: dict[str, Any], form: str | None) -> Token | App:
    if found.keys() >= APP_KEYS:
        app_id = str(found["app_id"]).strip(_AROUND) if isinstance(found["app_id"], int | str) else ""
        if isinstance(found["app_id"], bool) or not _APP_ID.fullmatch(app_id):
            raise SecretInvalid("app_id is no App's id")
        key, key_form = _private_key(found["private_key"])
        return App(app_id, key, key_form or form)
    if found.keys() >= TOKEN_KEYS:
        if not isinstance(found["token"], str):
            raise SecretInvalid("token is no text")
        token = found["token"].strip(_AROUND)
        return Token(_token(token), form if token == found["token"] else "with blanks around it")
    if len(found) == 1:
        (inner,) = found.values()
        if isinstance(inner, str) and _KNOWN_TOKEN.fullmatch(inner.strip(_AROUND)):
            return Token(inner.strip(_AROUND), "as the one value of a JSON object")
    raise SecretInvalid(f"found: {_names(found)}; {NEEDED}")


def _token(text: str) -> str:
    # Checked here, because the HTTP client's complaint about a header would quote it.
    if not _TOKEN.fullmatch(text):
        raise SecretInvalid("it holds neither a token (printable characters without blanks) nor a JSON object")
    return text


def _private_key(value: Any) -> tuple[str, str | None]:
    """The key in PEM with its line breaks, and the other form that it came in."""
    if not isinstance(value, str):
        raise SecretInvalid("private_key is no text")
    decoded = None if "-----BEGIN" in value else _decoded(value)
    text = value if decoded is None else decoded
    unescaped = text.replace("\\r", "").replace("\\n", "\n")
    found = _PEM.search(unescaped)
    if not found:
        raise SecretInvalid("private_key is no private key in PEM, nor one in base64")
    if ":" in found[2]:
        raise SecretInvalid("private_key is encrypted; store it without a passphrase")
    body = "".join(found[2].split())
    lines = [body[start : start + _PEM_LINE] for start in range(0, len(body), _PEM_LINE)]
    key = "\n".join([f"-----BEGIN {found[1]}-----", *lines, f"-----END {found[1]}-----", ""])
    if decoded is not None:
        return key, "with its key in base64"
    if unescaped != text:
        return key, "with escaped line breaks in its key"
    return key, None if "\n" in found[2].strip() or len(body) <= _PEM_LINE else "with its key on one line"


def _decoded(text: str) -> str | None:
    """The PEM in base64; None when it is not that."""
    try:
        decoded = base64.b64decode("".join(text.strip(_AROUND).split()), validate=True).decode("utf-8-sig")
    except (binascii.Error, ValueError):
        return None
    return decoded if "-----BEGIN" in decoded else None


def _text(value: str | bytes) -> str:
    """As text: PowerShell writes UTF-16."""
    if isinstance(value, str):
        return value
    is_utf16 = value[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return value.decode("utf-16" if is_utf16 else "utf-8")
    except UnicodeDecodeError:
        raise SecretInvalid("it is not text in UTF-8") from None


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _unquoted(text: str) -> str | None:
    """What is between the quotes around the text; None without any."""
    if len(text) > 2 and text[0] == text[-1] and text[0] in _QUOTES:
        return text[1:-1].strip(_AROUND) or None
    return None


def _candidates(*texts: str) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(text.encode("utf-8", "surrogatepass") for text in texts))


def _names(found: dict[str, Any]) -> str:
    """The keys that look like names: anything else may be the secret itself."""
    names = sorted(key for key in found if _KEY_NAME.fullmatch(key) and not _KNOWN_TOKEN.fullmatch(key))
    others = len(found) - len(names)
    told = ", ".join(names[:10]) or "no name"
    return f"{told} and {others} more" if others else told
