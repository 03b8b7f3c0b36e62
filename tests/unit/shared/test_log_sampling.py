"""Debug logs of a share of invocations (parameter LogSampleRate)."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.logging import logger

from shared.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from tests.support import LambdaContext


def levels_of_invocations(
    service: str,
    draws: Iterable[float],
    context: LambdaContext,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> list[list[str]]:
    """What three invocations of a new function log at, with these draws."""
    drawn = iter(draws)
    monkeypatch.setattr(logger, "random", SimpleNamespace(random=lambda: next(drawn)))
    monkeypatch.setattr(logger, "is_cold_start", True)
    telemetry = Telemetry(service)

    @telemetry.handler
    def handler(event: Any, context: Any) -> None:
        telemetry.log.debug("how")
        telemetry.log.info("what")

    found = []
    for _ in range(3):
        handler({}, context)
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
        found.append([line["level"] for line in lines if "level" in line])
    assert next(drawn, None) is None, "an invocation draws once"
    return found


def test_a_sampled_invocation_logs_at_debug_and_the_others_do_not(
    context: LambdaContext, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POWERTOOLS_LOGGER_SAMPLE_RATE", "0.05")
    levels = levels_of_invocations("sampled", [0.04, 0.06, 0.03], context, monkeypatch, capsys)
    assert levels == [["DEBUG", "INFO"], ["INFO"], ["DEBUG", "INFO"]]


def test_without_a_rate_none_is_sampled(
    context: LambdaContext, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("POWERTOOLS_LOGGER_SAMPLE_RATE", raising=False)
    assert levels_of_invocations("not sampled", [], context, monkeypatch, capsys) == [["INFO"]] * 3
