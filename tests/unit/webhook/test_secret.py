from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from tests.support import CountingTelemetry
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
    secret = WebhookSecret("name", manager, CountingTelemetry(), clock)
    assert secret.versions() == [b"new", b"old"]
    assert secret.versions() == [b"new", b"old"]
    assert sorted(manager.asked) == ["AWSCURRENT", "AWSPREVIOUS"], "the second call is answered from the cache"


def test_a_missing_previous_version_is_remembered(clock: Clock) -> None:
    manager = SecretsManager(AWSCURRENT="only")
    secret = WebhookSecret("name", manager, CountingTelemetry(), clock)
    for _ in range(5):
        assert secret.versions() == [b"only"]
    assert manager.asked.count("AWSPREVIOUS") == 1
    clock.now += MAX_AGE_SECONDS
    secret.versions()
    assert manager.asked.count("AWSPREVIOUS") == 2


def test_fresh_sees_a_rotation(clock: Clock) -> None:
    manager = SecretsManager(AWSCURRENT="first")
    secret = WebhookSecret("name", manager, CountingTelemetry(), clock)
    secret.versions()
    manager.versions = {"AWSCURRENT": "second", "AWSPREVIOUS": "first"}
    assert secret.versions() == [b"first"]
    assert secret.versions(fresh=True) == [b"second", b"first"]
    assert secret.versions() == [b"second", b"first"]


def test_refreshes_are_rate_limited(clock: Clock) -> None:
    secret = WebhookSecret("name", SecretsManager(), CountingTelemetry(), clock)
    assert secret.may_refresh()
    assert not secret.may_refresh()
    clock.now += REFRESH_INTERVAL_SECONDS
    assert secret.may_refresh()


@pytest.mark.parametrize("code", ["!InternalServiceError", "!ResourceNotFoundException", "!AccessDeniedException"])
def test_no_current_version_is_unavailability(clock: Clock, code: str) -> None:
    secret = WebhookSecret("name", SecretsManager(AWSCURRENT=code), CountingTelemetry(), clock)
    with pytest.raises(SecretUnavailable):
        secret.versions()


def test_an_error_on_the_previous_version_is_not_taken_for_its_absence(clock: Clock) -> None:
    manager = SecretsManager(AWSCURRENT="new", AWSPREVIOUS="!InternalServiceError")
    with pytest.raises(SecretUnavailable):
        WebhookSecret("name", manager, CountingTelemetry(), clock).versions()


def test_an_odd_form_is_taken_and_told_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    manager = SecretsManager(AWSCURRENT="abcdef\n", AWSPREVIOUS='{"secret": "ghijkl"}')
    secret = WebhookSecret("name", manager, CountingTelemetry(), clock)
    for _ in range(2):
        assert set(secret.versions()) >= {b"abcdef", b"ghijkl"}
    told = [record for record in caplog.records if record.message == "secret taken in another form"]
    assert len(told) == 1
    assert "abcdef" not in repr(vars(told[0]))


def test_a_current_version_that_cannot_be_read_is_said_and_a_previous_one_is_left_out(clock: Clock) -> None:
    several = '{"secret": "canary", "other": "canary"}'
    with pytest.raises(SecretUnavailable, match="found: other, secret"):
        WebhookSecret("name", SecretsManager(AWSCURRENT=several), CountingTelemetry(), clock).versions()
    manager = SecretsManager(AWSCURRENT="good", AWSPREVIOUS=several)
    assert WebhookSecret("name", manager, CountingTelemetry(), clock).versions() == [b"good"]
