"""`make docs`: writes the pages that are made from code.

docs/metrics.md is the catalogue of metrics, docs/policy.md and its JSON schema are the policy's models, and
docs/reliability.md gets the table of what GitHub's answers mean.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from drills.record import fill
from local.stack import PROJECT

if TYPE_CHECKING:
    from local.progress import Progress
    from pullrequest.answers import Rule
    from shared.contract import Contract

sys.path.append(str(PROJECT / "functions"))

from processor.policy import FILE, General, model_of
from processor.registry import names
from pullrequest.answers import RULES
from shared.metrics import COLD_START, COLD_START_DIMENSIONS, SERVICE, Metric

PAGE = PROJECT / "docs" / "metrics.md"
POLICY_PAGE = PROJECT / "docs" / "policy.md"
SCHEMA = PROJECT / "docs" / "pullback.schema.json"
EXAMPLE = """#:schema ./pullback.schema.json
forks = "approve"

[synchronize]
paths = ["!tests/fixtures/"]
binary_addition = "warning"
max_added_lines = 2000

[build]
syntax_error = "failure"
"""

_POLICY_HEAD = f"""# Policy

Made by `make docs` from the models in [functions/processor/policy.py](../functions/processor/policy.py) and in the
actions; do not edit.

A repository says in `{FILE}`, on the base branch, what Pullback does with its pull requests. The file is read at the
pull request's base SHA, never at its head: no pull request changes its own rules, and one that changes the file is told
so. Without a file, and for what it does not say, the stack's parameter `DefaultPolicy` counts, and then the defaults
below.

```toml
{EXAMPLE}```

- A level is `failure`, `warning`, `notice` or `ignore`. Only a `failure` makes a check fail.
- A file that cannot be read makes a check neutral. It names line and key, and the stack's default applies.
- A key that is not known is told in the check, with its line, and changes nothing.
- Editors that read TOML schemas (Even Better TOML, taplo) check the file as you type: put
  [pullback.schema.json](pullback.schema.json) beside it, as the first line of the example says.

"""

_HEAD = """# Metrics

Made by `make docs` from [functions/shared/metrics.py](../functions/shared/metrics.py), the catalogue; do not edit.

The namespace is `Pullback/<stack>`: each stack has its own. Metrics travel as log lines (CloudWatch's embedded metric
format). An alarm or a widget matches exactly one set of dimensions, so each set is listed; the values of `service` are
the functions: `webhook`, `task`, `processor`, `crash`, `closing`, `replay`, `sweeper`, `watch`.

| metric | unit | dimensions | meaning |
|---|---|---|---|
"""


def metrics_page() -> str:
    """docs/metrics.md, as it should be."""
    rows = [
        (metric.label, metric.unit.value, " or ".join(map(_set, metric.dimension_sets)), metric.meaning)
        for metric in Metric
    ]
    rows.append((COLD_START, "Count", _set(COLD_START_DIMENSIONS), "invocations that began with a new environment"))
    return _HEAD + "".join(f"| `{name}` | {unit} | {sets} | {meaning} |\n" for name, unit, sets, meaning in rows)


def policy_page() -> str:
    """docs/policy.md, as it should be."""
    schema = policy_schema()
    parts = [_table("Outside all sections", General.__name__, schema)]
    parts += [_table(f"`[{name}]`", f"{name}.Policy", schema) for name in names()]
    return _POLICY_HEAD + "\n".join(parts)


def policy_schema() -> dict[str, Any]:
    """The JSON schema of a policy, for editors."""
    models: dict[str, type[Contract]] = {General.__name__: General}
    models |= {f"{name}.Policy": model_of(name) for name in names()}
    defs = {name: _definition(model) for name, model in models.items()}
    general = defs[General.__name__]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": FILE,
        "type": "object",
        "properties": {
            **general["properties"],
            **{name: {"$ref": f"#/$defs/{name}.Policy"} for name in names()},
        },
        "additionalProperties": False,
        "$defs": {name: {**one, "additionalProperties": False} for name, one in defs.items()},
    }


def _definition(model: type[Contract]) -> dict[str, Any]:
    # One by one: many models are called Policy.
    schema = msgspec.json.schema(model)
    found: dict[str, Any] = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    return found


def _table(heading: str, name: str, schema: dict[str, Any]) -> str:
    rows = [
        f"| `{key}` | {_kind(one)} | `{json.dumps(one['default'])}` | {one.get('description', '')} |"
        for key, one in schema["$defs"][name]["properties"].items()
    ]
    head = f"## {heading}\n\n| key | what it takes | default | meaning |\n|---|---|---|---|\n"
    return head + "\n".join(rows) + "\n"


def _kind(one: dict[str, Any]) -> str:
    if "enum" in one:
        return ", ".join(f"`{word}`" for word in one["enum"])
    if one["type"] == "array":
        return f"up to {one['maxItems']} patterns"
    if one["type"] == "integer":
        return f"{one['minimum']:,} to {one['maximum']:,}"
    return "`true`, `false`" if one["type"] == "boolean" else str(one["type"])


def _set(dimensions: frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(dimensions, key=lambda name: (name != SERVICE, name)))


def answers_table() -> str:
    """What GitHub's answers mean, for docs/reliability.md."""
    rows = ["| answer | to | what it is | why |", "|---|---|---|---|"]
    for rule in RULES:
        calls = "<br>".join(f"`{call}`" for call in rule.calls) or "any call"
        rows.append(f"| {_answer(rule)} | {calls} | {rule.verdict.value} | {rule.why} |")
    return "\n".join(rows)


def _answer(rule: Rule) -> str:
    statuses = rule.statuses
    if isinstance(statuses, range):
        named = "all else" if len(statuses) > 100 else f"{statuses[0] // 100}xx"
    else:
        named = ", ".join(map(str, statuses))
    if rule.message:
        named += f' "{rule.message} …"'
    return f"{named}, with the headers of a limit" if rule.exhausted else named


def docs(progress: Progress) -> int:
    """Writes the page and the table."""
    PAGE.write_text(metrics_page())
    POLICY_PAGE.write_text(policy_page())
    SCHEMA.write_text(json.dumps(policy_schema(), indent=2) + "\n")
    fill("answers", answers_table())
    told = ", ".join(str(page.relative_to(PROJECT)) for page in (PAGE, POLICY_PAGE, SCHEMA))
    progress.console.print(f"  {told}, the answers in docs/reliability.md")
    return 0
