"""The GitHub credential, from Secrets Manager."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from processor.errors import CredentialInvalid, CredentialUnavailable

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

MAX_AGE_SECONDS = 60
"""A rotated credential is in use everywhere after this long."""


class Credential:
    """Reads and caches the credential.

    Args:
        name: name or ARN of the secret.
        secretsmanager: the client to use.
    """

    def __init__(self, name: str, secretsmanager: SecretsManagerClient) -> None:
        self._name = name
        self._provider = SecretsProvider(boto3_client=secretsmanager)

    def read(self, *, fresh: bool = False) -> str:
        """The secret's value: a token, or JSON (see processor.github_access.authentication).

        Args:
            fresh: ask Secrets Manager, whatever is cached.

        Raises:
            CredentialUnavailable: it could not be read.
        CredentialInvalid: it is empty.
        """
        try:
            value = self._provider.get(self._name, max_age=MAX_AGE_SECONDS, force_fetch=fresh)
        except GetParameterError:
            raise CredentialUnavailable("Secrets Manager did not give the GitHub credential") from None
        if not value:
            raise CredentialInvalid("the GitHub credential is empty")
        return value if isinstance(value, str) else bytes(value).decode()
