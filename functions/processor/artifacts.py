"""The artifact bucket: objects that are written once and never changed."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

from botocore.exceptions import BotoCoreError, ClientError

from processor.errors import ArtifactStoreUnavailable
from shared.aws import error_code

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_CONFLICT_ATTEMPTS = 3
"""S3 answers 409 when another write or a deletion of the key was under way, and asks to try again."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What stands in the bucket under a key."""

    sha256: str
    size: int
    created: bool
    """False when an earlier or concurrent writer's bytes stand."""


class ArtifactStore:
    """Stores and reads artifacts.

    Args:
        s3: the client to use.
        bucket: the artifact bucket's name.
        link_template: where people find an object; ``{bucket}``, ``{region}`` and ``{key}`` are filled in.

    All methods raise ArtifactStoreUnavailable when S3 did not do it; the message holds S3's error code, nothing else.
    """

    def __init__(self, s3: S3Client, bucket: str, link_template: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._link_template = link_template

    def put(self, key: str, body: BinaryIO, *, sha256: str, content_type: str) -> StoredObject:
        """Stores an object unless the key is taken: the first writer's bytes stand.

        Args:
            key: the object's key.
            body: a seekable file, sent from its start.
            sha256: the body's SHA-256 in hex; S3 refuses other bytes.
            content_type: the object's media type.

        Returns:
            What stands under the key now.
        """
        for _ in range(_CONFLICT_ATTEMPTS):
            body.seek(0)
            try:
                self._s3.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=body,
                    ContentType=content_type,
                    ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),
                    Metadata={"sha256": sha256},
                    IfNoneMatch="*",
                )
            except ClientError as error:
                if _is(error, 412, "PreconditionFailed"):
                    return self._standing(key)
                if not _is(error, 409, "ConditionalRequestConflict"):
                    raise _unavailable("PutObject", error) from None
            except BotoCoreError as error:
                raise _unavailable("PutObject", error) from None
            else:
                return StoredObject(sha256, body.tell(), created=True)
        raise ArtifactStoreUnavailable("PutObject: ConditionalRequestConflict")

    def read(self, key: str, max_bytes: int) -> bytes | None:
        """An object's content; None when there is no such object, or it is larger than ``max_bytes``."""
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=key)
            with answer["Body"] as body:
                return body.read() if answer["ContentLength"] <= max_bytes else None
        except ClientError as error:
            # S3 says 403 for a missing object to those who may not list the bucket, which we need not.
            if _is(error, 404, "NoSuchKey") or _is(error, 403, "AccessDenied"):
                return None
            raise _unavailable("GetObject", error) from None
        except BotoCoreError as error:
            raise _unavailable("GetObject", error) from None

    def link(self, key: str) -> str:
        """Where people find the object."""
        return (
            self._link_template.replace("{bucket}", self._bucket)
            .replace("{region}", self._s3.meta.region_name)
            .replace("{key}", quote(key))
        )

    def _standing(self, key: str) -> StoredObject:
        try:
            head = self._s3.head_object(Bucket=self._bucket, Key=key)
        except (ClientError, BotoCoreError) as error:
            raise _unavailable("HeadObject", error) from None
        return StoredObject(head["Metadata"].get("sha256", ""), head["ContentLength"], created=False)


def object_key(repository: str, sha: str, name: str) -> str:
    """The key of an artifact of a commit. ``repository`` and ``sha`` are validated by the job."""
    return f"{repository}/{sha}/{name}"


def _is(error: ClientError, status: int, code: str) -> bool:
    return error_code(error) in (code, str(status))


def _unavailable(operation: str, error: ClientError | BotoCoreError) -> ArtifactStoreUnavailable:
    return ArtifactStoreUnavailable(f"{operation}: {error_code(error)}")
