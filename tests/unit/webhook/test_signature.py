from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.signature import is_valid


def signed(secret: bytes, body: bytes) -> str:
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def test_githubs_own_vector() -> None:
    header = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert is_valid(b"Hello, World!", header, [b"It's a Secret to Everybody"])


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "sha256=",
        "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        "sha1=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        "sha256=757107EA0EB2509FC211221CCE984B8A37570B6D7586C22C46F4379C8B043E17",
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e1",
        "sha256=€" + "0" * 63,
        "\ud800",
    ],
)
def test_other_headers_are_refused(header: str | None) -> None:
    assert not is_valid(b"Hello, World!", header, [b"It's a Secret to Everybody"])


def test_each_secret_counts() -> None:
    body = b"{}"
    assert is_valid(body, signed(b"previous", body), [b"current", b"previous"])
    assert is_valid(body, signed(b"current", body), [b"current", b"previous"])
    assert not is_valid(body, signed(b"older", body), [b"current", b"previous"])


def test_an_empty_secret_verifies_nothing() -> None:
    assert not is_valid(b"{}", signed(b"", b"{}"), [b""])
    assert not is_valid(b"{}", signed(b"", b"{}"), [])


@given(body=st.binary(), other=st.binary(), secret=st.binary(min_size=1))
def test_only_the_exact_bytes_verify(body: bytes, other: bytes, secret: bytes) -> None:
    assert is_valid(body, signed(secret, body), [secret])
    assert is_valid(body, signed(secret, other), [secret]) == (body == other)


@given(body=st.binary(), header=st.text())
def test_no_header_raises(body: bytes, header: str) -> None:
    assert not is_valid(body, header, [b"a secret that nobody guesses"])
