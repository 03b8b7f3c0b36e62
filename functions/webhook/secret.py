"""The webhook's secret: the current version, and during a rotation the previous one as well."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
from botocore.exceptions import ClientError

from shared import stored_secret
from shared.stored_secret import FormNotice, SecretInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_secretsmanager.client import SecretsManagerClient

    from shared.telemetry import Telemetry

MAX_AGE_SECONDS = 300
REFRESH_INTERVAL_SECONDS = 60
"""A mismatch reads the secret again at most this often: forged deliveries must not run up a bill."""


class SecretUnavailable(Exception):
    """Secrets Manager did not give the secret, or gave what cannot be read as one; the text tells what is wrong."""


class WebhookSecret:
    """Reads and caches the versions of the secret that are valid.

    Args:
        name: name or ARN of the secret.
        secretsmanager: the client to use.
        telemetry: told once when the secret is stored in another form than plain text.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        name: str,
        secretsmanager: SecretsManagerClient,
        telemetry: Telemetry,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._notice = FormNotice("webhook", telemetry)
        self._name = name
        # One provider a stage: Powertools' cache key is the name alone, so one provider would answer a question for
        # the previous version with the current one.
        self._current = SecretsProvider(boto3_client=secretsmanager)
        self._previous = SecretsProvider(boto3_client=secretsmanager)
        self._clock = clock
        self._no_previous_until = float("-inf")
        self._refreshed_at = float("-inf")

    def versions(self, *, fresh: bool = False) -> list[bytes]:
        """The valid secrets, current first.

        Args:
            fresh: read them again in place of using what was cached.

        Raises:
            SecretUnavailable: Secrets Manager could not be asked, or there is no current version.
        """
        current = self._read(self._current, "AWSCURRENT", fresh=fresh)
        previous = None
        if fresh or self._clock() >= self._no_previous_until:
            previous = self._read(self._previous, "AWSPREVIOUS", fresh=fresh)
        versions = self._candidates(current)
        if not versions:
            raise SecretUnavailable("the webhook secret has no current version")
        try:
            return versions + self._candidates(previous)
        except SecretUnavailable:
            # What cannot be read any more must not keep the current one from being used.
            return versions

    def may_refresh(self) -> bool:
        """Whether a mismatch may read the secret again now; saying yes starts the next interval."""
        if self._clock() < self._refreshed_at + REFRESH_INTERVAL_SECONDS:
            return False
        self._refreshed_at = self._clock()
        return True

    def _candidates(self, value: str | bytes | None) -> list[bytes]:
        """What a version's secret may be; nothing of a version that there is not."""
        if not value:
            return []
        try:
            secret = stored_secret.webhook_secret(value)
        except SecretInvalid as invalid:
            raise SecretUnavailable(f"the webhook secret cannot be read: {invalid}") from None
        self._notice.tell(secret.form)
        return list(secret.candidates)

    def _read(self, provider: SecretsProvider, stage: str, *, fresh: bool) -> str | bytes | None:
        try:
            value: Any = provider.get(self._name, max_age=MAX_AGE_SECONDS, force_fetch=fresh, VersionStage=stage)
        except GetParameterError as error:
            if stage == "AWSPREVIOUS" and _is_absent(error):
                # Most secrets were never rotated. Remember that, too: it is asked for with every delivery.
                self._no_previous_until = self._clock() + MAX_AGE_SECONDS
                return None
            raise SecretUnavailable("Secrets Manager did not give the webhook secret") from None
        if stage == "AWSPREVIOUS":
            self._no_previous_until = float("-inf")
        return value if isinstance(value, str | bytes) else None


def _is_absent(error: GetParameterError) -> bool:
    cause = error.__cause__ or error.__context__
    return isinstance(cause, ClientError) and cause.response["Error"]["Code"] == "ResourceNotFoundException"
