"""The table of what GitHub's answers mean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullrequest import answers
from pullrequest.answers import LAG_SECONDS, PULL, SET_STATUS, Verdict, error_of, verdict_of
from pullrequest.errors import GitHubLagging, GitHubRateLimited, GitHubRefused, GitHubUnavailable, WorkError

CALLS = [value for name, value in vars(answers).items() if name.isupper() and isinstance(value, str)]
REDELIVER = "POST /repos/{owner}/{repo}/hooks/{hook_id}/deliveries/{delivery_id}/attempts"


@pytest.mark.parametrize(
    ("call", "status", "headers", "message", "verdict"),
    [
        (PULL, 404, {}, "Not Found", Verdict.LAG),
        (SET_STATUS, 404, {}, "Not Found", Verdict.LAG),
        (SET_STATUS, 422, {}, "No commit found for SHA: x", Verdict.LAG),
        (SET_STATUS, 422, {}, "Validation Failed", Verdict.FINAL),
        (PULL, 422, {}, "No commit found for SHA: x", Verdict.FINAL),
        # A hook's delivery and an App's installation are older than any event.
        (REDELIVER, 404, {}, "", Verdict.FINAL),
        (answers.INSTALLATION_TOKEN, 404, {}, "", Verdict.FINAL),
        (PULL, 401, {}, "Bad credentials", Verdict.CREDENTIAL),
        (PULL, 403, {}, "Resource not accessible by integration", Verdict.FINAL),
        (PULL, 403, {"Retry-After": "60"}, "", Verdict.LIMITED),
        (PULL, 403, {"X-RateLimit-Remaining": "0"}, "", Verdict.LIMITED),
        (PULL, 429, {}, "", Verdict.LIMITED),
        # What a proxy answers, not GitHub.
        (SET_STATUS, 307, {}, "", Verdict.FINAL),
        (PULL, 502, {}, "", Verdict.OUTAGE),
        (PULL, 200, {}, "", Verdict.OUTAGE),
        (PULL, 0, {}, "", Verdict.OUTAGE),
        (PULL, 999, {}, "", Verdict.OUTAGE),
    ],
)
def test_what_an_answer_means(call: str, status: int, headers: dict[str, str], message: str, verdict: Verdict) -> None:
    assert verdict_of(call, status, headers, message) is verdict


@given(
    call=st.sampled_from([*CALLS, REDELIVER]),
    status=st.integers(-1, 1000),
    headers=st.dictionaries(st.sampled_from(["retry-after", "Location", "x-ratelimit-remaining"]), st.text()),
    age=st.floats(0, 1e9),
    message=st.text(),
)
def test_every_answer_is_one_of_our_errors_and_nothing_of_it_is_told(
    call: str, status: int, headers: dict[str, Any], age: float, message: str
) -> None:
    error = error_of(call, status, headers, age_seconds=age, message=f"canary {message}")
    assert isinstance(error, GitHubLagging | GitHubRateLimited | GitHubRefused | GitHubUnavailable)
    assert str(error) == f"{call}: {status}"


@given(call=st.sampled_from(CALLS), status=st.sampled_from([404, 422]))
def test_no_lag_lasts_for_ever(call: str, status: int) -> None:
    error: WorkError = error_of(call, status, {}, age_seconds=LAG_SECONDS, message="No commit found for SHA")
    assert type(error) is GitHubRefused
