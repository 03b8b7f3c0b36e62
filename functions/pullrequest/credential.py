"""The GitHub credential, from Secrets Manager."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from pullrequest.errors import CredentialInvalid, CredentialUnavailable
from shared.stored_secret import FormNotice, SecretInvalid, github_credential

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

    from shared.stored_secret import App, Token
    from shared.telemetry import Telemetry

MAX_AGE_SECONDS = 60
"""A rotated credential is in use everywhere after this long."""


class Credential:
    """Reads and caches the credential.

    Args:
        name: name or ARN of the secret.
        secretsmanager: the client to use.
        telemetry: told once when the credential is stored in another form than the documented ones.
    """

    def __init__(self, name: str, secretsmanager: SecretsManagerClient, telemetry: Telemetry) -> None:
        self._name = name
        self._provider = SecretsProvider(boto3_client=secretsmanager)
        self._notice = FormNotice("credential", telemetry)

    def read(self, *, fresh: bool = False) -> Token | App:
        """The credential.

        Args:
            fresh: ask Secrets Manager, whatever is cached.

        Raises:
            CredentialUnavailable: it could not be read.
            CredentialInvalid: it has none of the forms of ``shared.stored_secret``.
        """
        try:
            value: Any = self._provider.get(self._name, max_age=MAX_AGE_SECONDS, force_fetch=fresh)
        except GetParameterError:
            raise CredentialUnavailable("Secrets Manager did not give the GitHub credential") from None
        try:
            credential = github_credential(value or "")
        except SecretInvalid as invalid:
            raise CredentialInvalid(f"the GitHub credential cannot be used: {invalid}") from None
        self._notice.tell(credential.form)
        return credential
