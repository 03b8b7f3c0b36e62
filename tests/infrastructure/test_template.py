"""The template, after SAM's transform: what CloudFormation would make."""

from __future__ import annotations

import graphlib
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local import stack
from sweeper.hooks import parse_hooks
from tests.conftest import ROOT
from tests.infrastructure.conftest import transformed_with
from tests.support import HOOK_LISTS

if TYPE_CHECKING:
    from collections.abc import Iterator

CONSUMERS = {
    "CrashFunction": "CrashQueue",
    "ClosingFunction": "EndedExecutionsQueue",
    "ReplayFunction": "ReplayQueue",
}
FUNCTIONS = ("WebhookFunction", "TaskFunction", "ProcessorFunction", *CONSUMERS, "SweeperFunction", "WatchFunction")
ROLES = (*(f"{function}Role" for function in FUNCTIONS), "StateMachineRole")


def references(value: Any) -> Iterator[str]:
    """Logical names that a value refers to."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "Ref":
                yield inner
            elif key == "Fn::GetAtt":
                yield inner.split(".")[0] if isinstance(inner, str) else inner[0]
            elif key == "Fn::Sub":
                text, names = (inner, {}) if isinstance(inner, str) else inner
                yield from (name for name in re.findall(r"\$\{([^.!}]+)", text) if name not in names)
                yield from references(names)
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def shown(value: Any) -> Any:
    """A policy's value in short: intrinsic functions as the text that a person would write."""
    match value:
        case {"Ref": name}:
            return f"ref:{name}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"att:{name}.{attribute}"
        case {"Fn::Sub": text}:
            return text
        case {"Fn::If": [condition, yes, no]}:
            return f"if {condition}: {shown(yes)} else: {shown(no)}"
        case list():
            return [shown(inner) for inner in value]
    return value


def test_is_acyclic(resources: dict[str, Any]) -> None:
    graph = {
        name: {*references(resource.get("Properties", {})), *_listed(resource.get("DependsOn"))} & resources.keys()
        for name, resource in resources.items()
    }
    graphlib.TopologicalSorter(graph).prepare()


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def test_a_circle_would_be_found() -> None:
    graph = {"A": set(references({"x": {"Fn::Sub": "${B.Arn}"}})), "B": set(references([{"Fn::GetAtt": ["A", "Arn"]}]))}
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(graph).prepare()


EXECUTIONS = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:execution:${AWS::StackName}-processor:*"
MACHINE = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:${AWS::StackName}-processor"
TRACES = {("xray:PutTraceSegments", "*"), ("xray:PutTelemetryRecords", "*")}
TABLE = {
    (f"dynamodb:{action}", "att:IdempotencyTable.Arn") for action in ("GetItem", "PutItem", "UpdateItem", "DeleteItem")
}

STARTER = {("states:StartExecution", "ref:ProcessorStateMachine"), ("states:DescribeExecution", EXECUTIONS)}
CREDENTIAL = {("secretsmanager:GetSecretValue", "att:GitHubCredential.Id")}


def sends(*words: str) -> set[tuple[str, str]]:
    """What it takes to complete tasks."""
    return {(f"states:SendTask{word}", f"if OnEmbeddedAws: * else: {MACHINE}") for word in words}


def consumer(queue: str) -> set[tuple[str, str]]:
    """What it takes to empty a queue, and to put aside what cannot be read."""
    taking = {(f"sqs:{action}", f"att:{queue}.Arn") for action in ("ReceiveMessage", "DeleteMessage")}
    return taking | {("sqs:GetQueueAttributes", f"att:{queue}.Arn"), ("sqs:SendMessage", "att:QuarantineQueue.Arn")}


def logger(name: str) -> set[tuple[str, str]]:
    """What it takes to log."""
    return {(f"logs:{action}", f"att:{name}LogGroup.Arn") for action in ("CreateLogStream", "PutLogEvents")}


# Every action of every role, on its resource. A change here is a change of what an attacker could do.
ALLOWED: dict[str, set[tuple[str, str]]] = {
    "WebhookFunctionRole": TRACES
    | STARTER
    | logger("Webhook")
    | {("secretsmanager:GetSecretValue", "att:WebhookSecret.Id"), ("sqs:SendMessage", "att:ReplayQueue.Arn")},
    "TaskFunctionRole": TRACES | TABLE | logger("Task") | {("lambda:InvokeFunction", "ref:ProcessorFunctionAliaslive")},
    "ProcessorFunctionRole": TRACES
    | TABLE
    | sends("Success", "Failure", "Heartbeat")
    | CREDENTIAL
    | logger("Processor")
    | {
        ("s3:GetObject", "${ArtifactBucket.Arn}/*"),
        ("s3:PutObject", "${ArtifactBucket.Arn}/*"),
        ("sqs:SendMessage", "att:CrashQueue.Arn"),
    },
    "CrashFunctionRole": TRACES | sends("Failure") | logger("Crash") | consumer("CrashQueue"),
    "ClosingFunctionRole": TRACES
    | CREDENTIAL
    | logger("Closing")
    | consumer("EndedExecutionsQueue")
    | {(f"dynamodb:{action}", "att:IdempotencyTable.Arn") for action in ("GetItem", "UpdateItem")},
    "ReplayFunctionRole": TRACES | STARTER | logger("Replay") | consumer("ReplayQueue"),
    "SweeperFunctionRole": TRACES
    | CREDENTIAL
    | logger("Sweeper")
    | {(f"dynamodb:{action}", "att:IdempotencyTable.Arn") for action in ("GetItem", "UpdateItem")},
    "WatchFunctionRole": TRACES
    | logger("Watch")
    | {("states:ListExecutions", "ref:ProcessorStateMachine"), ("cloudformation:DescribeStacks", "ref:AWS::StackId")}
    | {("states:DescribeExecution", EXECUTIONS), ("sqs:GetQueueAttributes", "att:EndedExecutionsQueue.Arn")}
    | {(f"dynamodb:{action}", "att:IdempotencyTable.Arn") for action in ("BatchGetItem", "GetItem", "UpdateItem")}
    | {("sqs:SendMessage", f"att:{queue}.Arn") for queue in ("EndedExecutionsQueue", "DeadWorkQueue")},
    "StateMachineRole": TRACES
    | {("lambda:InvokeFunction", "ref:TaskFunctionAliaslive")}
    | {("xray:GetSamplingRules", "*"), ("xray:GetSamplingTargets", "*")}
    | {
        (f"logs:{action}", "*")
        for action in (
            "CreateLogDelivery",
            "GetLogDelivery",
            "UpdateLogDelivery",
            "DeleteLogDelivery",
            "ListLogDeliveries",
            "PutResourcePolicy",
            "DescribeResourcePolicies",
            "DescribeLogGroups",
        )
    },
}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_holds_exactly_what_is_listed(resources: dict[str, Any], role: str) -> None:
    properties = resources[role]["Properties"]
    assert "ManagedPolicyArns" not in properties
    allowed = set()
    for policy in properties["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            for action in _listed(statement["Action"]):
                for resource in _listed(shown(statement["Resource"])):
                    assert isinstance(resource, str)
                    allowed.add((action, resource))
    assert allowed == ALLOWED[role]


def test_there_are_no_other_roles(resources: dict[str, Any]) -> None:
    made = {name for name, one in resources.items() if one["Type"].startswith("AWS::IAM::")}
    assert made == set(ROLES)


def test_the_tests_run_on_the_python_of_the_runtime(resources: dict[str, Any]) -> None:
    runtime = resources["ProcessorFunction"]["Properties"]["Runtime"]
    assert f"\npython={runtime}\n" in (ROOT / ".ci/on-3.14").read_text()
    assert f'"{runtime.removeprefix("python")}"' in (ROOT / ".github/workflows/ci.yml").read_text()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_has_its_own_role_runtime_tracing_and_logs(resources: dict[str, Any], function: str) -> None:
    properties = resources[function]["Properties"]
    assert properties["Runtime"] == "python3.14"
    assert properties["Architectures"] == ["arm64"]
    assert properties["TracingConfig"] == {"Mode": "Active"}
    assert properties["Role"] == {"Fn::GetAtt": [f"{function}Role", "Arn"]}
    group = properties["LoggingConfig"]["LogGroup"]["Ref"]
    assert resources[group]["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    variables = properties["Environment"]["Variables"]
    assert variables["POWERTOOLS_LOGGER_LOG_EVENT"] == "false"
    assert variables["POWERTOOLS_METRICS_NAMESPACE"] == {"Fn::Sub": "Pullback/${AWS::StackName}"}


def test_whoever_calls_a_function_calls_its_alias(resources: dict[str, Any]) -> None:
    assert resources["TaskFunction"]["Properties"]["Environment"]["Variables"]["PROCESSOR_FUNCTION_ARN"] == {
        "Ref": "ProcessorFunctionAliaslive"
    }
    substitutions = resources["ProcessorStateMachine"]["Properties"]["DefinitionSubstitutions"]
    assert substitutions == {"TaskFunctionArn": {"Ref": "TaskFunctionAliaslive"}}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_new_value_of_a_parameter_reaches_the_alias(
    template: dict[str, Any], resources: dict[str, Any], function: str
) -> None:
    (version,) = [
        one["Properties"]
        for one in resources.values()
        if one["Type"] == "AWS::Lambda::Version" and one["Properties"]["FunctionName"] == {"Ref": function}
    ]
    used = set(references(resources[function]["Properties"]["Environment"])) & template["Parameters"].keys()
    assert used
    assert used == set(references(version["Description"]) if isinstance(version["Description"], dict) else ())


def test_a_new_timeout_reaches_the_alias(resources: dict[str, Any]) -> None:
    versions = {name for name, one in resources.items() if one["Type"] == "AWS::Lambda::Version"}
    other = transformed_with(change=lambda source: source["Resources"]["TaskFunction"]["Properties"].update(Timeout=61))
    changed = {name for name, one in other["Resources"].items() if one["Type"] == "AWS::Lambda::Version"}
    assert len(versions - changed) == 1


def test_the_processor_has_no_retries_of_its_own(resources: dict[str, Any]) -> None:
    (config,) = [
        one["Properties"]
        for one in resources.values()
        if one["Type"] == "AWS::Lambda::EventInvokeConfig"
        and one["Properties"]["FunctionName"] == {"Ref": "ProcessorFunction"}
    ]
    # A configuration of the bare function would not apply to the alias, which is what is invoked.
    assert config["Qualifier"] in ("live", {"Fn::GetAtt": ["ProcessorFunctionAliaslive", "AliasName"]})
    assert config["MaximumRetryAttempts"] == 0
    assert shown(config["DestinationConfig"]["OnFailure"]["Destination"]) == "att:CrashQueue.Arn"


def test_the_entrance_is_regional_traced_and_throttled(resources: dict[str, Any]) -> None:
    assert resources["WebhookApi"]["Properties"]["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    stage = resources["WebhookApiliveStage"]["Properties"]
    assert stage["TracingEnabled"] is True
    (settings,) = stage["MethodSettings"]
    assert settings["ThrottlingRateLimit"]
    assert settings["ThrottlingBurstLimit"]
    (path,) = resources["WebhookApi"]["Properties"]["Body"]["paths"].items()
    assert path[0] == "/webhook"
    assert set(path[1]) == {"post"}


def test_the_entrances_metrics_are_found_by_the_stacks_name(resources: dict[str, Any]) -> None:
    """PutRestApi, which CloudFormation calls with the definition, names the API as the definition's title."""
    properties = resources["WebhookApi"]["Properties"]
    name = {"Ref": "AWS::StackName"}
    assert properties["Name"] == properties["Body"]["info"]["title"] == name
    used = [
        dimension["Value"]
        for one in resources.values()
        if one["Type"] == "AWS::CloudWatch::Alarm"
        for dimension in _dimensions(one["Properties"])
        if dimension["Name"] == "ApiName"
    ]
    assert used
    assert all(value == name for value in used)


def _dimensions(alarm: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from alarm.get("Dimensions", ())
    for query in alarm.get("Metrics", ()):
        yield from query.get("MetricStat", {}).get("Metric", {}).get("Dimensions", ())


def test_no_status_of_the_entrance_is_modified(resources: dict[str, Any]) -> None:
    """API Gateway counts what is modified as 4XXError: alarms on 5XXError, and ``local.cloudwatch.aws.requests``, which
    counts by the status that the client sees, would be wrong."""
    responses = resources["WebhookApi"]["Properties"]["Body"]["x-amazon-apigateway-gateway-responses"]
    assert {"DEFAULT_5XX", "REQUEST_TOO_LARGE", "THROTTLED"} <= responses.keys()
    modified = {name for name, response in responses.items() if "statusCode" in response}
    assert not modified
    made_apart = [one for one in resources.values() if one["Type"] == "AWS::ApiGateway::GatewayResponse"]
    assert not made_apart


def test_the_state_machine_logs_no_execution_data(resources: dict[str, Any]) -> None:
    properties = resources["ProcessorStateMachine"]["Properties"]
    assert properties["LoggingConfiguration"]["Level"] == "ERROR"
    assert properties["LoggingConfiguration"]["IncludeExecutionData"] is False
    assert properties["TracingConfiguration"] == {"Enabled": True}


def test_what_is_kept_is_encrypted_and_private(resources: dict[str, Any]) -> None:
    table = resources["IdempotencyTable"]["Properties"]
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expiration", "Enabled": True}
    bucket = resources["ArtifactBucket"]["Properties"]
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    queues = [one["Properties"] for one in resources.values() if one["Type"] == "AWS::SQS::Queue"]
    assert queues
    assert all(queue["SqsManagedSseEnabled"] is True for queue in queues)


def test_every_log_group_has_a_retention(resources: dict[str, Any]) -> None:
    groups = [one["Properties"] for one in resources.values() if one["Type"] == "AWS::Logs::LogGroup"]
    assert len(groups) == len(FUNCTIONS) + 1
    assert all(group["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in groups)


def test_debug_logs_are_sampled_only_when_asked_for(template: dict[str, Any], resources: dict[str, Any]) -> None:
    assert template["Parameters"]["LogSampleRate"]["Default"] == 0
    assert template["Conditions"]["SampleLogs"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "LogSampleRate"}, 0]}]}
    rates = [
        resources[function]["Properties"]["Environment"]["Variables"]["POWERTOOLS_LOGGER_SAMPLE_RATE"]
        for function in FUNCTIONS
    ]
    # Left out, not 0: Powertools would add the rate to every line.
    assert rates == [{"Fn::If": ["SampleLogs", {"Ref": "LogSampleRate"}, {"Ref": "AWS::NoValue"}]}] * len(FUNCTIONS)


def test_the_firewall_is_off_unless_asked_for(template: dict[str, Any], resources: dict[str, Any]) -> None:
    assert template["Parameters"]["EnableWaf"]["Default"] == "false"
    firewall = [one for one in resources.values() if one["Type"].startswith("AWS::WAFv2::")]
    assert firewall
    assert all(one["Condition"] == "UseWaf" for one in firewall)


def test_the_embedded_aws_gets_two_exceptions_and_nobody_else_does(template: dict[str, Any]) -> None:
    # No parameter: nobody can be on the embedded AWS by mistake.
    assert template["Conditions"]["OnEmbeddedAws"] == {"Fn::Equals": [{"Ref": "AWS::AccountId"}, "000000000000"]}
    # The resource of SendTask*, in the statements of the processor and of its crashes; the demand for TLS; the archive.
    assert str(template["Resources"]).count("OnEmbeddedAws") == 2
    left_out = {name for name, one in template["Resources"].items() if one.get("Condition") == "OnAws"}
    assert left_out == stack.LEFT_OUT
    assert template["Conditions"]["OnAws"] == {"Fn::Not": [{"Condition": "OnEmbeddedAws"}]}


def test_queues_and_bucket_refuse_plain_http(resources: dict[str, Any]) -> None:
    policies = {
        name: one["Properties"]
        for name, one in resources.items()
        if one["Type"] in ("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy")
    }
    covered = []
    for properties in policies.values():
        statement = properties["PolicyDocument"]["Statement"][-1]
        if "Fn::If" in statement:
            condition, statement, otherwise = statement["Fn::If"]
            assert (condition, otherwise) == ("OnAws", {"Ref": "AWS::NoValue"})
        assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        covered += [one["Ref"] for one in properties.get("Queues", [properties.get("Bucket")])]
    kept = {name for name, one in resources.items() if one["Type"] in ("AWS::SQS::Queue", "AWS::S3::Bucket")}
    # A second policy would replace the first one.
    assert sorted(covered) == sorted(kept)


@pytest.mark.parametrize(("function", "queue"), CONSUMERS.items())
def test_a_queue_is_consumed_message_by_message(resources: dict[str, Any], function: str, queue: str) -> None:
    (mapping,) = [
        one["Properties"]
        for one in resources.values()
        if one["Type"] == "AWS::Lambda::EventSourceMapping"
        and shown(one["Properties"]["EventSourceArn"]) == f"att:{queue}.Arn"
    ]
    assert mapping["FunctionName"] == {"Ref": f"{function}Aliaslive"}
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert resources[function]["Properties"]["Timeout"] <= resources[queue]["Properties"]["VisibilityTimeout"]


def test_dead_messages_end_where_nobody_consumes(resources: dict[str, Any]) -> None:
    queues = {name: one["Properties"] for name, one in resources.items() if one["Type"] == "AWS::SQS::Queue"}
    ends = {
        name: shown(queue["RedrivePolicy"]["deadLetterTargetArn"]).removeprefix("att:").removesuffix(".Arn")
        for name, queue in queues.items()
        if "RedrivePolicy" in queue
    }
    assert set(ends) == set(CONSUMERS.values())
    # So no message can go round in a circle by itself.
    assert set(ends.values()) == {"DeadWorkQueue", "QuarantineQueue"} == set(queues) - set(ends)
    assert {queue["MessageRetentionPeriod"] for queue in queues.values()} == {14 * 24 * 60 * 60}


def test_ended_executions_are_closed_and_kept_and_replayed_ones_are_replayed(resources: dict[str, Any]) -> None:
    rules = {
        name: one["Properties"]
        for name, one in resources.items()
        if one["Type"] == "AWS::Events::Rule" and "EventPattern" in one["Properties"]
    }
    assert set(rules) == {"EndedExecutionsRule", "ReplayedExecutionsRule"}
    live, replayed, archived = (
        dict(one["EventPattern"])
        for one in (*(rules[name] for name in sorted(rules)), resources["EndedExecutionsArchive"]["Properties"])
    )
    assert live.pop("replay-name") == [{"exists": False}]
    assert replayed.pop("replay-name") == [{"exists": True}]
    assert archived.pop("replay-name") == [{"exists": False}], "a replay is not archived again"
    assert live == replayed == archived
    assert live["detail"]["status"] == ["FAILED", "TIMED_OUT", "ABORTED"]
    targets = {name: [shown(one["Arn"]) for one in rule["Targets"]] for name, rule in rules.items()}
    assert targets == {
        "EndedExecutionsRule": ["att:EndedExecutionsQueue.Arn", "att:DeadWorkQueue.Arn"],
        "ReplayedExecutionsRule": ["att:ReplayQueue.Arn"],
    }
    policy = resources["EventQueuesPolicy"]["Properties"]
    allowed = {f"att:{queue['Ref']}.Arn" for queue in policy["Queues"]}
    assert {target for names in targets.values() for target in names} <= allowed
    for rule in rules.values():
        # What EventBridge cannot deliver is kept as well.
        assert {shown(one["DeadLetterConfig"]["Arn"]) for one in rule["Targets"]} == {"att:QuarantineQueue.Arn"}
    assert "att:QuarantineQueue.Arn" in allowed
    (take, _) = policy["PolicyDocument"]["Statement"]
    assert take["Condition"]["ArnEquals"]["aws:SourceArn"] == [{"Fn::GetAtt": [name, "Arn"]} for name in sorted(rules)]


def test_only_its_consumer_reads_the_queue_of_live_tokens(resources: dict[str, Any]) -> None:
    read, _ = resources["CrashQueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (read["Effect"], read["Principal"], read["Action"]) == ("Deny", "*", "sqs:ReceiveMessage")
    assert read["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": {"Fn::GetAtt": ["CrashFunctionRole", "Arn"]}}}


def test_nothing_takes_the_webhooks_concurrency_away(template: dict[str, Any], resources: dict[str, Any]) -> None:
    for one in resources.values():
        if one["Type"] == "AWS::Lambda::EventSourceMapping":
            assert one["Properties"]["ScalingConfig"] == {"MaximumConcurrency": 5}
            assert one["Properties"]["BatchSize"] == 1
    reserved = resources["WebhookFunction"]["Properties"]["ReservedConcurrentExecutions"]
    assert reserved == {
        "Fn::If": ["ReserveConcurrency", {"Ref": "WebhookReservedConcurrency"}, {"Ref": "AWS::NoValue"}]
    }
    assert template["Parameters"]["WebhookReservedConcurrency"]["Default"] == 0


def test_nothing_is_swept_unless_asked_for(template: dict[str, Any], resources: dict[str, Any]) -> None:
    assert template["Parameters"]["SweepHooks"]["Default"] == ""
    swept = {name for name, one in resources.items() if one.get("Condition") == "Sweep"}
    assert {"SweeperFunction", "SweeperFunctionRole", "SweeperLogGroup", "SweeperFunctionSweep"} <= swept


def are_hooks(names: str) -> bool:
    """What the sweeper makes of them."""
    try:
        parse_hooks(names)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(("names", "allowed"), (HOOK_LISTS | {"": True}).items())
def test_the_parameter_takes_what_the_sweeper_takes(template: dict[str, Any], names: str, *, allowed: bool) -> None:
    pattern = template["Parameters"]["SweepHooks"]["AllowedPattern"]
    assert (re.fullmatch(pattern, names) is not None) == allowed


@given(
    st.lists(st.sampled_from(["app", "orgs/", "a/", "a", "/", ":", ":1", "0", ",", ".", "..", "-", "_", " "])).map(
        "".join
    )
)
def test_the_parameter_takes_nothing_else(template: dict[str, Any], names: str) -> None:
    pattern = template["Parameters"]["SweepHooks"]["AllowedPattern"]
    assert (re.fullmatch(pattern, names) is not None) == (not names or are_hooks(names))
