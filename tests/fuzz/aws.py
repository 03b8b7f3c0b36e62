"""AWS in memory, as far as the handlers use it: fast, and in every mood that AWS can be in.

Error texts quote the request, as those of AWS and botocore do: a handler that passes one on gives its token away.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ParamValidationError, ReadTimeoutError

if TYPE_CHECKING:
    from collections.abc import Sequence

MOODS: Sequence[str] = ("fine", "fine", "fine", "throttled", "unreachable")
TOKEN_MAX_CHARACTERS = 2048


def refuse(mood: str, operation: str, request: object) -> None:
    """Raises what botocore raises when the service is in this mood; nothing when it is fine."""
    if mood == "throttled":
        raise _error("ThrottlingException", operation, request)
    if mood == "unreachable":
        raise ReadTimeoutError(endpoint_url=f"https://aws.example/?{request}")


def _error(code: str, operation: str, request: object, **response: Any) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": f"about {request}"}, **response}
    return ClientError(answer, operation)


class AlreadyExists(ClientError):
    """Stands for the exception class that a Step Functions client makes for itself."""


@dataclass
class StepFunctions:
    """Step Functions: executions to start, and one task to call back.

    ``existing`` has the statuses of the executions that are there already, by the order of their names.
    """

    mood: str = "fine"
    existing: list[str] = field(default_factory=list)
    is_task_open: bool = True
    started: list[dict[str, str]] = field(default_factory=list)
    ended: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    asked: int = 0
    exceptions: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(ExecutionAlreadyExists=AlreadyExists))

    def start_execution(self, **request: str) -> dict[str, Any]:
        self.asked += 1
        assert re.fullmatch(r"[0-9A-Za-z_-]{1,80}", request["name"]), "not an execution's name"
        refuse(self.mood, "StartExecution", request)
        if self.asked <= len(self.existing):
            raise AlreadyExists({"Error": {"Code": "ExecutionAlreadyExists", "Message": f"{request}"}}, "x")
        self.started.append(request)
        arn = request["stateMachineArn"].replace(":stateMachine:", ":execution:")
        return {"executionArn": f"{arn}:{request['name']}", "startDate": datetime.now(UTC)}

    def describe_execution(self, **request: str) -> dict[str, Any]:
        if not 1 <= len(request["executionArn"]) <= 256:
            raise ParamValidationError(report=f"Invalid length for parameter executionArn, value: {request}")
        refuse(self.mood, "DescribeExecution", request)
        return {"status": self.existing[self.asked - 1] if 0 < self.asked <= len(self.existing) else "FAILED"}

    def send_task_heartbeat(self, **request: str) -> dict[str, Any]:
        self._check(request, "SendTaskHeartbeat")
        return {}

    def send_task_success(self, **request: str) -> dict[str, Any]:
        self._check(request, "SendTaskSuccess")
        assert len(request["output"]) <= 262_144, "an output that Step Functions would refuse"
        return self._end("success", request)

    def send_task_failure(self, **request: str) -> dict[str, Any]:
        self._check(request, "SendTaskFailure")
        assert len(request["error"]) <= 256, "an error that Step Functions would refuse"
        assert len(request["cause"]) <= 32_768, "a cause that Step Functions would refuse"
        return self._end("failure", request)

    def _end(self, kind: str, request: dict[str, str]) -> dict[str, Any]:
        self.is_task_open = False
        self.ended.append((kind, request))
        return {}

    def _check(self, request: dict[str, str], operation: str) -> None:
        if not 1 <= len(request["taskToken"]) <= TOKEN_MAX_CHARACTERS:
            raise ParamValidationError(report=f"Invalid length for parameter taskToken, value: {request}")
        refuse(self.mood, operation, request)
        if not self.is_task_open:
            raise _error("TaskTimedOut", operation, request)


@dataclass
class Lambda:
    """Lambda's Invoke. ``status`` is what it answers with."""

    mood: str = "fine"
    status: int = 202
    invoked: list[dict[str, Any]] = field(default_factory=list)

    def invoke(self, **request: Any) -> dict[str, Any]:
        refuse(self.mood, "Invoke", request)
        self.invoked.append(request)
        return {"StatusCode": self.status}


@dataclass
class Table:
    """The idempotency table.

    ``mood`` is ``held`` while another invocation holds the token, ``done`` when it has ended with ``stored``, and
    ``forgetful`` when nothing can be changed in it. ``work`` is the record that any piece of work has already.
    """

    mood: str = "fine"
    stored: dict[str, Any] = field(default_factory=dict)
    work: dict[str, Any] | None = None
    items: dict[str, dict[str, Any]] = field(default_factory=dict)

    def put_item(self, **request: Any) -> dict[str, Any]:
        refuse(self.mood, "PutItem", request)
        if self.mood not in ("held", "done"):
            self.items[request["Item"]["id"]["S"]] = request["Item"]
            return {}
        later = int(datetime.now(UTC).timestamp()) + 900
        item = {
            "id": request["Item"]["id"],
            "status": {"S": "INPROGRESS" if self.mood == "held" else "COMPLETED"},
            "expiration": {"N": str(later)},
            "in_progress_expiration": {"N": str(later * 1000)},
            "data": {"S": json.dumps(self.stored)},
        }
        raise _error("ConditionalCheckFailedException", "PutItem", request, Item=item)

    def get_item(self, **request: Any) -> dict[str, Any]:
        refuse(self.mood, "GetItem", request)
        item = self._item(request["Key"]["id"]["S"])
        return {"Item": item} if item else {}

    def update_item(self, **request: Any) -> dict[str, Any]:
        refuse("unreachable" if self.mood == "forgetful" else self.mood, "UpdateItem", request)
        key = request["Key"]["id"]["S"]
        item, values = self._item(key), request["ExpressionAttributeValues"]
        names = request.get("ExpressionAttributeNames", {})
        condition = request.get("ConditionExpression")
        if condition == "attribute_not_exists(id)":
            holds = not item
        elif condition:
            name, value = condition.split(" = ")
            holds = item.get(name) == values[value]
        else:
            holds = True
        if not holds:
            raise _error("ConditionalCheckFailedException", "UpdateItem", request)
        item = {"id": request["Key"]["id"], **item}
        # The clauses that the handlers use, in the order in which they use them.
        clauses = re.fullmatch(
            r"SET (?P<set>.*?)(?: ADD (?P<add>\w+) (?P<by>:\w+))?(?: REMOVE (?P<remove>\w+))?",
            request["UpdateExpression"],
        )
        assert clauses, request["UpdateExpression"]
        for change in clauses["set"].split(", "):
            name, value = change.split(" = ")
            item[names.get(name, name)] = values[value]
        if clauses["add"]:
            before = int(item.get(clauses["add"], {"N": "0"})["N"])
            item[clauses["add"]] = {"N": str(before + int(values[clauses["by"]]["N"]))}
        if clauses["remove"]:
            item.pop(clauses["remove"], None)
        self.items[key] = item
        return {"Attributes": item}

    def delete_item(self, **request: Any) -> dict[str, Any]:
        refuse(self.mood, "DeleteItem", request)
        self.items.pop(request["Key"]["id"]["S"], None)
        return {}

    def _item(self, key: str) -> dict[str, Any]:
        if key not in self.items and self.work and key.startswith("work#"):
            self.items[key] = {"id": {"S": key}, **self.work}
        return self.items.get(key, {})


@dataclass
class Queues:
    """SQS: what was sent, to whichever queue."""

    mood: str = "fine"
    sent: list[dict[str, Any]] = field(default_factory=list)

    def send_message(self, **request: Any) -> dict[str, Any]:
        refuse(self.mood, "SendMessage", request)
        if not request["MessageBody"]:
            raise _error("MissingParameter", "SendMessage", request)
        for attribute in request.get("MessageAttributes", {}).values():
            if not attribute["StringValue"]:
                raise _error("InvalidParameterValue", "SendMessage", request)
        # As it goes over the wire.
        json.dumps(request, ensure_ascii=False).encode()
        self.sent.append(request)
        return {"MessageId": "1"}


@dataclass
class Secrets:
    """Secrets Manager: the value of each stage."""

    stages: dict[str, str]

    def get_secret_value(self, **request: str) -> dict[str, str]:
        stage = request.get("VersionStage", "AWSCURRENT")
        if stage not in self.stages:
            raise _error("ResourceNotFoundException", "GetSecretValue", request)
        return {"SecretString": self.stages[stage]}
