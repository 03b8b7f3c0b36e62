from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from webhook.secret import MAX_AGE_SECONDS, REFRESH_INTERVAL_SECONDS, SecretUnavailable, WebhookSecret


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class SecretsManager:
    """Counts what is asked; ``versions`` maps a stage to its value or to an error code."""

    def __init__(self, **versions: str) -> None:
        self.versions = versions
        self.asked: list[str] = []
        self._client = boto3.client("secretsmanager", region_name="us-east-1")

    def get_secret_value(self, SecretId: str, VersionStage: str) -> dict[str, Any]:  # noqa: N803 - AWS's names
        self.asked.append(VersionStage)
        with Stubber(self._client) as stub:
            value = self.versions.get(VersionStage, "!ResourceNotFoundException")
            if value.startswith("!"):
                stub.add_client_error("get_secret_value", value[1:])
            else:
                stub.add_response("get_secret_value", {"SecretString": value})
            answer: Any = self._client.get_secret_value(SecretId=SecretId, VersionStage=VersionStage)
            return answer  # type: ignore[no-any-return]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_current_and_previous_are_told_apart(clock: Clock) -> None:
    manager = SecretsManager(AWSCURRENT="new", AWSPREVIOUS="old")
    secret = WebhookSecret("name", manager, clock)
    assert secret.versions() == [b"new", b"old"]
    assert secret.versions() == [b"new", b"old"]
    assert sorted(manager.asked) == ["AWSCURRENT", "AWSPREVIOUS"], "the second call is answered from the cache"


def test_a_missing_previous_version_is_remembered(clock: Clock) -> None:
    manager = SecretsManager(AWSCURRENT="only")
    secret = WebhookSecret("name", manager, clock)
    for _ in range(5):
        assert secret.versions() == [b"only"]
    assert manager.asked.count("AWSPREVIOUS") == 1
    clock.now += MAX_AGE_SECONDS
    secret.versions()
    assert manager.asked.count("AWSPREVIOUS") == 2


def test_fresh_sees_a_rotation(clock: Clock) -> None:
    manager = SecretsManager(AWSCURRENT="first")
    secret = WebhookSecret("name", manager, clock)
    secret.versions()
    manager.versions = {"AWSCURRENT": "second", "AWSPREVIOUS": "first"}
    assert secret.versions() == [b"first"]
    assert secret.versions(fresh=True) == [b"second", b"first"]
    assert secret.versions() == [b"second", b"first"]


def test_refreshes_are_rate_limited(clock: Clock) -> None:
    secret = WebhookSecret("name", SecretsManager(), clock)
    assert secret.may_refresh()
    assert not secret.may_refresh()
    clock.now += REFRESH_INTERVAL_SECONDS
    assert secret.may_refresh()


@pytest.mark.parametrize("code", ["!InternalServiceError", "!ResourceNotFoundException", "!AccessDeniedException"])
def test_no_current_version_is_unavailability(clock: Clock, code: str) -> None:
    secret = WebhookSecret("name", SecretsManager(AWSCURRENT=code), clock)
    with pytest.raises(SecretUnavailable):
        secret.versions()


def test_an_error_on_the_previous_version_is_not_taken_for_its_absence(clock: Clock) -> None:
    manager = SecretsManager(AWSCURRENT="new", AWSPREVIOUS="!InternalServiceError")
    with pytest.raises(SecretUnavailable):
        WebhookSecret("name", manager, clock).versions()
