"""The state machine's definition, as programs read it that know nothing of ours: the reference implementation of
JSONata, and a linter of the States Language.

The linter is statelint of PyPI, which knows JSONata. asl-validator, from npm, accepted the definition as well. And
cfn-lint, in `make lint`, has AWS's own schema.
"""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from jsonata import Jsonata

from shared.job import TaskEvent
from tests.conftest import ROOT
from tests.support import DELIVERY_ID, SHA
from webhook.projection import decode, project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The version that Step Functions implements, by its developer guide. It depends on no other package.
REFERENCE = "jsonata@2.0.6"
EVALUATE = """
const jsonata = require("jsonata");
const asked = JSON.parse(require("fs").readFileSync(0));
(async () => {
  const answers = [];
  for (const [expression, states] of asked) answers.push(await jsonata(expression).evaluate(undefined, {states}));
  console.log(JSON.stringify(answers));
})();
"""
CONTEXT = {
    "Task": {"Token": "a-token"},
    "Execution": {"Name": "a-name"},
    "State": {"EnteredTime": "2026-11-24T10:00:00.000Z", "RetryCount": 0},
}
ADDED = {"taskToken": "a-token", "execution": "a-name", "entered_at": "2026-11-24T10:00:00.000Z", "retry_count": 0}


def expressions(value: Any) -> Iterator[str]:
    """All that is JSONata in a definition, without what marks it."""
    if isinstance(value, str) and value.startswith("{%"):
        assert value.startswith("{% ")
        assert value.endswith(" %}")
        yield value[3:-3]
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from expressions(one)


@pytest.fixture
def jobs(job_data: dict[str, Any]) -> list[dict[str, Any]]:
    """The jobs of all sample deliveries, as the webhook makes them, and some of which JSONata might make another."""
    found = [job_data]
    for event in sorted((ROOT / "events").glob("pull_request.*.json")):
        action = event.name.split(".")[1]
        job = project(decode(event.read_bytes()), action=action, delivery_id=DELIVERY_ID)
        found.append(json.loads(job.to_json()))
    for title in ("", "$states.input", "{% $merge([]) %}", "'\"\\ `", "ä😀\u2028", "null", "1e3"):
        odd = copy.deepcopy(job_data)
        odd["pull_request"]["title"] = title
        found.append(odd)
    # Optional fields, the largest number that JSON of JavaScript keeps, and lists of one and none.
    found.append(
        job_data
        | {"before": SHA, "changes": {"base": {"ref": {"from": "old"}}}, "installation": {"id": 2**53 - 1}}
        | {"unknown": [], "one": [1], "nested": [[{"a": []}]], "nothing": None, "taskToken": "not this one"}
    )
    return found


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of its own, with the reference implementation in it."""
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("the reference implementation of JSONata needs node and npm, which are not on PATH")
    directory = tmp_path_factory.mktemp("jsonata")
    command = ["npm", "install", "--silent", "--no-save", "--ignore-scripts", "--prefix", directory, REFERENCE]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        pytest.skip(f"npm could not install {REFERENCE}: {(done.stdout + done.stderr)[-300:]}")
    return directory


def test_the_reference_implementation_makes_the_same_task_events(
    definition: dict[str, Any], jobs: list[dict[str, Any]], reference: Path
) -> None:
    """It has `$states` bound, as Step Functions has, and makes what the other tests' implementation makes."""
    (expression,) = expressions(definition)
    asked = [(expression, {"input": job, "context": CONTEXT}) for job in jobs]
    done = subprocess.run(
        ["node", "-e", EVALUATE], cwd=reference, input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert len(answers) == len(jobs)
    for job, (_, states), answer in zip(jobs, asked, answers, strict=True):
        assert answer == {**job, **ADDED}
        assert Jsonata(expression.replace("$states", "states")).evaluate({"states": states}) == answer
        assert TaskEvent.read(answer).taskToken == "a-token"


def linted(definition: dict[str, Any]) -> str:
    """What the linter says, "" for nothing. It would have 2.0 for 2, where JSON knows one number only."""
    done = subprocess.run(
        [sys.executable, "-m", "statelint", "--ignore=FLOAT", "--eval-jsonata", json.dumps(definition)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    assert (done.returncode == 0) == (done.stdout == "")
    return done.stdout


def test_a_linter_of_the_states_language_finds_nothing(definition: dict[str, Any]) -> None:
    assert linted(definition) == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("HeartbeatSeconds", "soon"),
        ("Parameters", {"a": 1}),
        ("Next", "Nowhere"),
        ("Retry", [{"ErrorEquals": ["States.ALL"], "JitterStrategy": "SOME"}]),
    ],
)
def test_it_would_find_a_mistake(definition: dict[str, Any], field: str, value: Any) -> None:
    wrong = copy.deepcopy(definition)
    wrong["States"]["ProcessPullRequest"][field] = value
    assert field in linted(wrong)
