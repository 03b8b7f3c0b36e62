"""Lambda handler that a schedule invokes: asks GitHub to deliver again what the webhook was not there to take.

GitHub does not do that by itself. It costs nothing to ask twice: a redelivery has the delivery id of the first one,
under which the webhook starts at most one execution at a time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.data_classes import EventBridgeEvent, event_source

from pullrequest.credential import Credential
from shared.aws import client
from shared.metrics import Metric
from shared.settings import ConfigurationError, Settings
from shared.telemetry import Telemetry
from sweeper import hooks
from sweeper.hooks import parse_hooks
from sweeper.ledger import SweptAlready, TableLedger
from sweeper.sweep import Bounds, Sweep, Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from sweeper.hooks import Hook

settings = Settings()
_hooks = settings.text("SWEEP_HOOKS")
TABLE = settings.text("IDEMPOTENCY_TABLE")
_credential_name = settings.text("GITHUB_CREDENTIAL_ARN")
GITHUB_API_URL = settings.text("GITHUB_API_URL")
settings.check()
try:
    HOOKS = parse_hooks(_hooks)
except ValueError as error:
    raise ConfigurationError(f"SWEEP_HOOKS: {error}") from None

STOP_BEFORE_SECONDS = 75.0
"""Nothing new is begun with less left: one call to GitHub, all its attempts at their slowest, and what is then written
down. The function's timeout must be well above."""

telemetry = Telemetry("sweeper")
dynamodb = client("dynamodb")
credential = Credential(_credential_name, client("secretsmanager"), telemetry)
clock = time.time
BOUNDS = Bounds()


class SweepFailed(Exception):
    """Hooks could not be swept; the message says how many, the log why. The next run tries again."""


@telemetry.handler
@event_source(data_class=EventBridgeEvent)
def lambda_handler(event: EventBridgeEvent, context: LambdaContext) -> dict[str, int]:  # noqa: ARG001 - it says only that it is time
    """Sweeps every hook.

    Returns:
        How many hooks were swept, deliveries seen, redeliveries requested, and deliveries given up.

    Raises:
        SweepFailed: some hook could not be swept. The others were.
    """

    def remaining() -> float:
        return context.get_remaining_time_in_millis() / 1000

    done: list[Tally] = []
    failed = 0
    for number, hook in enumerate(HOOKS):
        try:
            done.append(sweep(hook, remaining, hooks_left=len(HOOKS) - number))
        except SweptAlready as busy:
            telemetry.log.warning("hook is being swept already", hook=hook.name, reason=str(busy))
        except Exception as error:  # whatever it is, the other hooks are swept all the same
            failed += 1
            telemetry.count(Metric.SWEEP_FAILED)
            # Told as an error when the invocation ends with SweepFailed.
            telemetry.log.warning("sweep failed", exc_info=True, hook=hook.name, error=type(error).__name__)
    if failed:
        raise SweepFailed(f"{failed} of {len(HOOKS)} hooks")
    return {
        "hooks": len(done),
        "seen": sum(one.seen for one in done),
        "requested": sum(one.requested for one in done),
        "given_up": sum(one.given_up for one in done),
    }


def sweep(hook: Hook, remaining: Callable[[], float], *, hooks_left: int) -> Tally:
    """One run for one hook, in its share of the time.

    Args:
        hook: the hook.
        remaining: seconds until the function is ended.
        hooks_left: this hook and those that follow.

    Raises:
        SweptAlready: another run has the hook.
        Exception: what ``connect``, ``Credential.read`` and ``Sweep.run`` raise.
    """
    left = remaining()
    stop_at = left - (left - STOP_BEFORE_SECONDS) / hooks_left
    deliveries = hooks.open_hook(hook, credential, GITHUB_API_URL, telemetry)
    tally = Sweep(
        hook=hook.name,
        deliveries=deliveries,
        ledger=TableLedger(hook.name, TABLE, dynamodb),
        telemetry=telemetry,
        clock=clock,
        out_of_time=lambda: remaining() < max(stop_at, STOP_BEFORE_SECONDS),
        bounds=BOUNDS,
    ).run(until=clock() + remaining())
    telemetry.log.info(
        "hook swept",
        hook=hook.name,
        seen=tally.seen,
        requested=tally.requested,
        given_up=tally.given_up,
        finished=tally.finished,
    )
    return tally
