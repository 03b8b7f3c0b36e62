"""What all tests share: no AWS account in reach, and the triggers as the build collects them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools import Metrics

from processor.triggers import collect
from tests.support import BASE_SHA, DELIVERY_ID, SHA, LambdaContext

ROOT = Path(__file__).resolve().parent.parent

# Before any handler is imported: handlers read their settings when they are imported, and no test may ever reach an
# account of the person who runs it.
for name in [name for name in os.environ if name.startswith(("AWS_", "POWERTOOLS_"))]:
    del os.environ[name]
os.environ.update(
    AWS_ACCESS_KEY_ID="testing",
    AWS_SECRET_ACCESS_KEY="testing",
    AWS_DEFAULT_REGION="us-east-1",
    AWS_REGION="us-east-1",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    AWS_EC2_METADATA_DISABLED="true",
    POWERTOOLS_METRICS_NAMESPACE="Pullback/test",
)

_triggers = ROOT / "functions" / "webhook" / "triggers.json"
_draft = _triggers.with_name(f"triggers.{os.getpid()}.json.tmp")
_draft.write_text(json.dumps(collect()))
_draft.replace(_triggers)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Names bytes by their length: by their content, gzip's clock would give each xdist worker other ids."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


@pytest.fixture
def context() -> LambdaContext:
    return LambdaContext()


@pytest.fixture
def job_data() -> dict[str, Any]:
    """A job, as the state machine gets it."""
    return {
        "action": "synchronize",
        "delivery_id": DELIVERY_ID,
        "repository": {"full_name": "octo-org/hello"},
        "pull_request": {
            "number": 7,
            "title": "Say hello",
            "head": {"ref": "hello", "sha": SHA},
            "base": {"ref": "main", "sha": BASE_SHA},
        },
        "sender": {"login": "octocat"},
    }


@pytest.fixture(autouse=True)
def no_metrics_of_before() -> None:
    """Powertools keeps what was counted for the whole process; a test that flushes nothing leaves it to the next."""
    Metrics().clear_metrics()
