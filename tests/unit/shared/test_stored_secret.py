"""The forms in which people store secrets: one table for both."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from shared.stored_secret import App, SecretInvalid, Token, github_credential, webhook_secret

SECRET = "canary-S3cret/of+the=hook"
TOKEN = "ghp_" + "Canary0123456789" * 2
KEY = (
    rsa.generate_private_key(public_exponent=65537, key_size=2048)
    .private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    .decode()
)
IN_BASE64 = base64.b64encode(KEY.encode()).decode()


def app(key: str = KEY, **fields: Any) -> str:
    return json.dumps({"app_id": 7, "private_key": key, **fields})


WEBHOOK_SECRETS: dict[str, tuple[str | bytes, str | None]] = {
    "as it is": (SECRET, None),
    "line break at its end (B1)": (f"{SECRET}\n", "line break"),
    "line break of Windows": (f"{SECRET}\r\n", "line break"),
    "byte order mark": (f"\ufeff{SECRET}", "byte order mark"),
    "bytes": (SECRET.encode(), None),
    "UTF-16 of PowerShell": (f"{SECRET}\r\n".encode("utf-16"), "line break"),
    "console's key/value pair (B2)": (json.dumps({"secret": SECRET}), "JSON object"),
    "any single key": (json.dumps({"webhook-secret": f"{SECRET}\n"}), "JSON object"),
    "pair with a byte order mark": ("\ufeff" + json.dumps({"secret": SECRET}), "JSON object"),
    "double quotes": (f'"{SECRET}"', "quotes"),
    "single quotes": (f"'{SECRET}'\n", "quotes"),
    "blanks": (f"  {SECRET} ", "blanks"),
}


@pytest.mark.parametrize(("value", "form"), WEBHOOK_SECRETS.values(), ids=WEBHOOK_SECRETS)
def test_a_webhook_secret_is_taken(value: str | bytes, form: str | None) -> None:
    found = webhook_secret(value)
    assert found.candidates[0] == SECRET.encode()
    assert (found.form is None) == (form is None)
    assert form is None or (found.form is not None and form in found.form)


@pytest.mark.parametrize("value", ['"quoted"', "'x'", " blank ", '{"only": "one"}'])
def test_what_may_belong_to_a_webhook_secret_is_tried_as_well(value: str) -> None:
    """Whoever entered the same at GitHub is not shut out."""
    assert value.encode() in webhook_secret(value).candidates


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        (b"\xff\xfe\x00", "it is not text"),
        ("{}", "several keys or none"),
        (json.dumps({"secret": SECRET, "old": SECRET}), "found: old, secret"),
        (json.dumps({"secret": 5}), "no text"),
        (json.dumps({"secret": ""}), "no text"),
    ],
)
def test_any_other_webhook_secret_is_refused_with_what_is_wrong(value: str | bytes, told: str) -> None:
    with pytest.raises(SecretInvalid, match=told) as caught:
        webhook_secret(value)
    assert "anary" not in str(caught.value)


TOKENS: dict[str, tuple[str | bytes, str | None]] = {
    "as it is": (TOKEN, None),
    "line break": (f"{TOKEN}\n", None),
    "JSON": (json.dumps({"token": TOKEN}), None),
    "JSON with a byte order mark (B5)": ("\ufeff" + json.dumps({"token": TOKEN}), "byte order mark"),
    "JSON with a blank behind the token (B5)": (json.dumps({"token": f"{TOKEN} "}), "blanks"),
    "quotes (B5)": (f'"{TOKEN}"', "quotes"),
    "single quotes": (f"'{TOKEN}'", "quotes"),
    "UTF-16 of PowerShell": (TOKEN.encode("utf-16"), "byte order mark"),
    "console's key/value pair": (json.dumps({"github_token": TOKEN}), "JSON object"),
    "other keys besides": (json.dumps({"token": TOKEN, "note": "rotate in May"}), None),
}


@pytest.mark.parametrize(("value", "form"), TOKENS.values(), ids=TOKENS)
def test_a_token_is_taken(value: str | bytes, form: str | None) -> None:
    found = github_credential(value)
    assert isinstance(found, Token)
    assert found.token == TOKEN
    if not isinstance(value, bytes):
        assert (found.form is None) == (form is None)
        assert form is None or (found.form is not None and form in found.form)


APPS: dict[str, tuple[str | bytes, str | None]] = {
    "as documented": (app(), None),
    "id as text": (app(app_id="7"), None),
    "escaped line breaks (B3)": (app(KEY.replace("\n", "\\n")), "escaped line breaks"),
    "escaped line breaks of Windows": (app(KEY.replace("\n", "\\r\\n")), "escaped line breaks"),
    "base64 (B4)": (app(IN_BASE64), "base64"),
    "base64 with a byte order mark": (app(f"\ufeff{IN_BASE64}"), "base64"),
    "base64 of a file with a byte order mark": (
        app(base64.b64encode(b"\xef\xbb\xbf" + KEY.encode()).decode()),
        "base64",
    ),
    "base64 in lines": (app("\n".join(IN_BASE64[i : i + 76] for i in range(0, len(IN_BASE64), 76))), "base64"),
    "line breaks of Windows": (app(KEY.replace("\n", "\r\n")), None),
    "line breaks turned into blanks": (app(KEY.replace("\n", " ")), "one line"),
    "line breaks gone": (app(KEY.replace("\n", "")), "one line"),
    "byte order mark": ("\ufeff" + app(), "byte order mark"),
    "as bytes": (app().encode(), None),
}


@pytest.mark.parametrize(("value", "form"), APPS.values(), ids=APPS)
def test_an_apps_key_is_taken(value: str | bytes, form: str | None) -> None:
    found = github_credential(value)
    assert isinstance(found, App)
    assert (found.id, found.private_key) == ("7", KEY)
    assert (found.form is None) == (form is None)
    assert form is None or (found.form is not None and form in found.form)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("", "it is empty"),
        ("two canaries", "neither a token"),
        ("{canary", "begins like a JSON object"),
        (
            json.dumps({"appId": 7, "privateKey": KEY}),
            "found: appId, privateKey; needed are token, or app_id and private",
        ),
        (json.dumps({"app_id": 7}), "found: app_id; needed"),
        (json.dumps({"canary value": 7}), "found: no name and 1 more; needed"),
        (json.dumps({TOKEN: 7}), "found: no name and 1 more; needed"),
        (json.dumps({"canary" + "0123456789abcdef" * 2: ""}), "found: no name and 1 more; needed"),
        ("{}", "found: no name; needed"),
        (KEY, "private key alone; found: no app_id"),
        (IN_BASE64, "private key alone; found: no app_id"),
        (app(app_id=True), "app_id is no App's id"),
        (app(app_id="canary id"), "app_id is no App's id"),
        (app("canary"), "no private key in PEM"),
        (app(KEY.replace("PRIVATE", "PUBLIC")), "no private key in PEM"),
        (app(private_key=5), "private_key is no text"),
        (app(KEY.replace("KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\n\n", 1)), "is encrypted"),
        (json.dumps({"token": ["canary"]}), "token is no text"),
        (json.dumps({"token": ""}), "neither a token"),
        (b"\xc3\x28", "it is not text"),
    ],
)
def test_any_other_credential_is_refused_with_what_is_wrong(value: str | bytes, told: str) -> None:
    with pytest.raises(SecretInvalid, match=told) as caught:
        github_credential(value)
    shown = str(caught.value)
    assert "canary" not in shown
    assert TOKEN not in shown
    assert KEY[100:120] not in shown


def test_no_secret_is_in_a_repr() -> None:
    for found in (webhook_secret(SECRET), github_credential(TOKEN), github_credential(app())):
        assert "anary" not in repr(found)
        assert KEY[100:120] not in repr(found)


AROUND = st.text(alphabet="\ufeff \t\r\n", max_size=4)
SECRETS = st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=6).filter(
    lambda text: not text.startswith(("{", '"', "'")) and "-----BEGIN" not in text
)


@given(
    secret=SECRETS, before=AROUND, after=AROUND, quote=st.sampled_from(["", '"', "'"]), key=st.sampled_from(["", "x"])
)
def test_a_good_secret_comes_out_of_any_wrapping(secret: str, before: str, after: str, quote: str, key: str) -> None:
    value = json.dumps({key: secret}) if key else f"{quote}{secret}{quote}"
    assert secret.encode() in webhook_secret(f"{before}{value}{after}").candidates
    if not key:
        found = github_credential(f"{before}{value}{after}")
        assert isinstance(found, Token)
        assert found.token == secret


@given(
    value=st.text(min_size=1)
    | st.binary(min_size=1)
    | st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner, max_size=3), max_leaves=5
    ).map(json.dumps)
)
def test_whatever_is_stored_is_read_or_refused_and_never_quoted(value: str | bytes) -> None:
    text = value if isinstance(value, str) else value.decode("latin-1")
    # Names of keys are told: they are what was looked at.
    names = "".join(_names_in(text))
    for read in (webhook_secret, github_credential):
        told = ""
        try:
            read(value)
        except SecretInvalid as invalid:
            told = str(invalid)
        for piece in (text[start : start + 12] for start in range(max(0, len(text) - 12))):
            assert piece not in told or piece in names


def _names_in(text: str) -> list[str]:
    try:
        found = json.loads(text)
    except ValueError:
        return []
    return list(found) if isinstance(found, dict) else []
