"""The artifact store on moto's S3, and on answers that moto does not give."""

from __future__ import annotations

import base64
import hashlib
import io
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ConnectTimeoutError
from botocore.stub import ANY, Stubber
from moto import mock_aws

from processor.artifacts import ArtifactStore, object_key
from processor.errors import ArtifactStoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3.client import S3Client

BUCKET = "artifacts"
TEMPLATE = "https://{region}.example/{bucket}?prefix={key}"


@pytest.fixture
def s3() -> Iterator[S3Client]:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1", config=Config(retries={"total_max_attempts": 1}))
        client.create_bucket(Bucket=BUCKET)
        yield client


@pytest.fixture
def store(s3: S3Client) -> ArtifactStore:
    return ArtifactStore(s3, BUCKET, TEMPLATE)


def put(store: ArtifactStore, key: str, content: bytes) -> Any:
    body = io.BytesIO(content)
    body.seek(len(content))
    return store.put(key, body, sha256=hashlib.sha256(content).hexdigest(), content_type="application/gzip")


def test_an_object_is_stored_with_its_type_and_digest(store: ArtifactStore, s3: S3Client) -> None:
    stored = put(store, "o/r/s/bundle.tar.gz", b"content")

    assert (stored.size, stored.created) == (7, True)
    answer = s3.get_object(Bucket=BUCKET, Key="o/r/s/bundle.tar.gz")
    assert answer["Body"].read() == b"content"
    assert answer["ContentType"] == "application/gzip"
    assert answer["Metadata"] == {"sha256": hashlib.sha256(b"content").hexdigest()}


def test_s3_is_told_the_digest_and_not_to_overwrite(s3: S3Client) -> None:
    digest = hashlib.sha256(b"x")
    expected = {
        "Bucket": BUCKET,
        "Key": "k",
        "Body": ANY,
        "ContentType": "application/gzip",
        "ChecksumSHA256": base64.b64encode(digest.digest()).decode(),
        "Metadata": {"sha256": digest.hexdigest()},
        "IfNoneMatch": "*",
    }
    with Stubber(s3) as stubber:
        stubber.add_response("put_object", {}, expected)
        assert put(ArtifactStore(s3, BUCKET, TEMPLATE), "k", b"x").created


def test_the_first_writers_bytes_stand(store: ArtifactStore) -> None:
    first = put(store, "k", b"first")

    second = put(store, "k", b"second, longer")

    assert store.read("k", 100) == b"first"
    assert (second.sha256, second.size, second.created) == (first.sha256, 5, False)


def test_a_missing_object_is_none(store: ArtifactStore) -> None:
    assert store.read("k", 100) is None


def test_reading_is_bounded(store: ArtifactStore) -> None:
    put(store, "k", b"x" * 101)

    assert store.read("k", 100) is None
    assert store.read("k", 101) == b"x" * 101


def test_a_link_has_its_parts_filled_in(store: ArtifactStore) -> None:
    key = object_key("octo-org/hello.py", "a" * 40, "bundle.tar.gz")

    assert key == f"octo-org/hello.py/{'a' * 40}/bundle.tar.gz"
    assert store.link(key) == f"https://us-east-1.example/artifacts?prefix={key}"
    assert store.link("a b&c={bucket}") == "https://us-east-1.example/artifacts?prefix=a%20b%26c%3D%7Bbucket%7D"


def test_a_bucket_that_is_not_there_is_unavailable(s3: S3Client) -> None:
    store = ArtifactStore(s3, "elsewhere", TEMPLATE)

    with pytest.raises(ArtifactStoreUnavailable, match="PutObject: NoSuchBucket"):
        put(store, "k", b"x")
    with pytest.raises(ArtifactStoreUnavailable, match="GetObject: NoSuchBucket"):
        store.read("k", 1)


def conflict(stubber: Stubber) -> None:
    stubber.add_client_error("put_object", "ConditionalRequestConflict", "canary", 409)


def test_a_conflict_is_tried_again(s3: S3Client) -> None:
    with Stubber(s3) as stubber:
        conflict(stubber)
        stubber.add_client_error("put_object", "PreconditionFailed", "canary", 412)
        stubber.add_response(
            "head_object", {"ContentLength": 9, "Metadata": {"sha256": "f" * 64}}, {"Bucket": ANY, "Key": ANY}
        )
        stored = put(ArtifactStore(s3, BUCKET, TEMPLATE), "k", b"x")

    assert (stored.sha256, stored.size, stored.created) == ("f" * 64, 9, False)


def test_conflicts_without_end_are_unavailable(s3: S3Client) -> None:
    with Stubber(s3) as stubber:
        for _ in range(3):
            conflict(stubber)
        with pytest.raises(ArtifactStoreUnavailable, match="ConditionalRequestConflict") as caught:
            put(ArtifactStore(s3, BUCKET, TEMPLATE), "k", b"x")
        stubber.assert_no_pending_responses()
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("code", ["SlowDown", "InternalError", "AccessDenied"])
def test_s3s_errors_are_unavailable_and_say_the_code_alone(s3: S3Client, code: str) -> None:
    with Stubber(s3) as stubber:
        stubber.add_client_error("put_object", code, "canary", 503)
        with pytest.raises(ArtifactStoreUnavailable) as caught:
            put(ArtifactStore(s3, BUCKET, TEMPLATE), "k", b"x")
    assert str(caught.value) == f"PutObject: {code}"
    assert caught.value.__suppress_context__


def test_an_object_that_may_not_be_listed_counts_as_missing(s3: S3Client) -> None:
    with Stubber(s3) as stubber:
        stubber.add_client_error("get_object", "AccessDenied", "canary", 403)
        assert ArtifactStore(s3, BUCKET, TEMPLATE).read("k", 1) is None


def test_no_connection_is_unavailable(s3: S3Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectTimeoutError(endpoint_url="https://canary")

    for name in ("put_object", "get_object"):
        monkeypatch.setattr(s3, name, unreachable)
    store = ArtifactStore(s3, BUCKET, TEMPLATE)

    with pytest.raises(ArtifactStoreUnavailable, match=r"^PutObject: ConnectTimeoutError$"):
        put(store, "k", b"x")
    with pytest.raises(ArtifactStoreUnavailable, match=r"^GetObject: ConnectTimeoutError$"):
        store.read("k", 1)
