"""The metrics that AWS publishes, with their sets of dimensions, as the services' guides list them.

Written from the guides and not from the template, so that one can be held against the other: "Amazon API Gateway
dimensions and metrics", "Types of metrics for Lambda functions", "Monitoring Step Functions metrics using Amazon
CloudWatch", "Available CloudWatch metrics for Amazon SQS", "DynamoDB metrics and dimensions", "Monitoring CloudWatch
Logs with CloudWatch metrics".
"""

from __future__ import annotations

_API = {frozenset({"ApiName"}), frozenset({"ApiName", "Stage"})}
_FUNCTION = {frozenset({"FunctionName"}), frozenset({"FunctionName", "Resource"})}
_MACHINE = {frozenset({"StateMachineArn"})}
_QUEUE = {frozenset({"QueueName"})}
_TABLE = {frozenset({"TableName"})}
_OPERATION = {frozenset({"TableName", "Operation"})}
_GROUP = {frozenset({"LogGroupName"})}

PUBLISHED: dict[str, dict[str, set[frozenset[str]]]] = {
    "AWS/ApiGateway": dict.fromkeys(("Count", "4XXError", "5XXError", "Latency", "IntegrationLatency"), _API),
    "AWS/Lambda": dict.fromkeys(
        (
            "Invocations",
            "Errors",
            "Throttles",
            "Duration",
            "ConcurrentExecutions",
            "AsyncEventsReceived",
            "AsyncEventAge",
            "AsyncEventsDropped",
            "DestinationDeliveryFailures",
            "DeadLetterErrors",
        ),
        _FUNCTION,
    ),
    "AWS/States": dict.fromkeys(
        (
            "ExecutionTime",
            "ExecutionThrottled",
            "ExecutionsAborted",
            "ExecutionsFailed",
            "ExecutionsStarted",
            "ExecutionsSucceeded",
            "ExecutionsTimedOut",
        ),
        _MACHINE,
    ),
    "AWS/SQS": dict.fromkeys(
        (
            "ApproximateAgeOfOldestMessage",
            "ApproximateNumberOfMessagesDelayed",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesVisible",
            "NumberOfMessagesDeleted",
            "NumberOfMessagesReceived",
            "NumberOfMessagesSent",
        ),
        _QUEUE,
    ),
    "AWS/DynamoDB": dict.fromkeys(
        ("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits", "ReadThrottleEvents", "WriteThrottleEvents"), _TABLE
    )
    | dict.fromkeys(("SuccessfulRequestLatency", "ThrottledRequests", "SystemErrors"), _OPERATION),
    "AWS/Logs": dict.fromkeys(
        ("IncomingBytes", "IncomingLogEvents", "EMFParsingErrors", "EMFValidationErrors"), _GROUP
    ),
}
