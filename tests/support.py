"""What tests of several kinds use."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from typing import TYPE_CHECKING

from pullrequest.errors import CredentialInvalid
from shared.stored_secret import SecretInvalid, github_credential
from shared.telemetry import Telemetry

if TYPE_CHECKING:
    from shared.metrics import Metric
    from shared.stored_secret import App, Token

SHA = "a" * 40
BASE_SHA = "b" * 40
DELIVERY_ID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"

HOOK_LISTS = {
    "app": True,
    "octo-org/hello:1": True,
    "octo-org/hello.py:471884113,app,orgs/octo-org:12": True,
    "app,app": True,
    "octo_emu/.github:1": True,
    "orgs/a:1": True,
    f"orgs/{'a' * 39}:1": True,
    "": False,
    " ": False,
    ",": False,
    "app,": False,
    "app,,app": False,
    "app, app": False,
    " app": False,
    "App": False,
    "app:1": False,
    ":1": False,
    "octo-org": False,
    "octo-org/hello": False,
    "octo-org/hello:": False,
    "octo-org/hello:0": False,
    "octo-org/hello:01": False,
    "octo-org/hello:-1": False,
    "octo-org/hello:1\n": False,
    "octo-org/hello:\u0661": False,
    "octo-org/..:1": False,
    "../hello:1": False,
    "a/b/c:1": False,
    "a:b/c:1": False,
    "\u00fcn\u00ef/hello:1": False,
    "orgs/octo-org": False,
    "orgs/octo-org:0": False,
    "orgs/:1": False,
    "orgs/-a:1": False,
    "orgs/a_b:1": False,
    "orgs/a.b:1": False,
    "orgs/a/b:1": False,
    f"orgs/{'a' * 40}:1": False,
}
"""Values of SWEEP_HOOKS, and whether each is a list of hooks: for the sweeper and for the template's parameter. The
parameter may be empty, too: then there is no sweeper."""


class LambdaContext:
    """The context of an invocation.

    Args:
        remaining_ms: what is left of the function's time.
    """

    function_name = "pullback-test"
    function_version = "1"
    memory_limit_in_mb = 128
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:pullback-test:live"
    aws_request_id = "52fdfc07-2182-454f-963f-5f0f9a621d72"

    def __init__(self, remaining_ms: int = 300_000) -> None:
        self.remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


class CountingTelemetry(Telemetry):
    """Keeps what is counted: ``counted`` by metric, ``values`` one by one with what it is broken down by."""

    def __init__(self) -> None:
        super().__init__("test")
        self.counted: Counter[Metric] = Counter()
        self.values: list[tuple[Metric, float, dict[str, str]]] = []

    def count(self, metric: Metric, value: float = 1, **by: str) -> None:
        assert set(by) == set(metric.by)
        self.counted[metric] += value  # type: ignore[assignment] # durations are no whole numbers
        self.values.append((metric, value, by))


class Held:
    """A credential that is there: the values of its reads, the last one for ever. Counts the fresh ones."""

    def __init__(self, *values: str) -> None:
        self._values = list(values)
        self.fresh = 0

    def read(self, *, fresh: bool = False) -> Token | App:
        if fresh:
            self.fresh += 1
            if len(self._values) > 1:
                del self._values[0]
        try:
            return github_credential(self._values[0])
        except SecretInvalid as invalid:
            raise CredentialInvalid(str(invalid)) from None


class _CurrentStdout:
    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


def log_to_current_stdout(telemetry: Telemetry) -> None:
    """Lets ``capsys`` see the log: a logger keeps the standard output of the moment when it was made."""
    for handler in telemetry.log.handlers:
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(_CurrentStdout())
