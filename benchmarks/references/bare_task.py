"""The task function without any framework: boto3 with the same clients."""

import hashlib
import json
import os
import time

import boto3

dynamodb = boto3.client("dynamodb")
functions = boto3.client("lambda")


def lambda_handler(event, context):
    key = {"id": {"S": "task#" + hashlib.sha256(event["taskToken"].encode()).hexdigest()}}
    dynamodb.put_item(
        TableName=os.environ["IDEMPOTENCY_TABLE"],
        Item={**key, "expiration": {"N": str(int(time.time()) + 3600)}},
        ConditionExpression="attribute_not_exists(id)",
    )
    functions.invoke(
        FunctionName=os.environ["PROCESSOR_FUNCTION_ARN"], InvocationType="Event", Payload=json.dumps(event).encode()
    )
    dynamodb.update_item(
        TableName=os.environ["IDEMPOTENCY_TABLE"],
        Key=key,
        UpdateExpression="SET done = :done",
        ExpressionAttributeValues={":done": {"BOOL": True}},
    )
    print(json.dumps({"message": "dispatched"}))
    return {"result": "dispatched"}
