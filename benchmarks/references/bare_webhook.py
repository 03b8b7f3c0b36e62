"""The webhook without any framework: boto3 with the same clients, and as much of the work as a call needs."""

import functools
import hashlib
import hmac
import json
import os

import boto3

secrets = boto3.client("secretsmanager")
stepfunctions = boto3.client("stepfunctions")


@functools.cache
def webhook_secret():
    return secrets.get_secret_value(SecretId=os.environ["WEBHOOK_SECRET_ARN"])["SecretString"].encode()


def lambda_handler(event, context):
    body = event["body"].encode()
    headers = {name.lower(): value for name, value in event["headers"].items()}
    expected = "sha256=" + hmac.new(webhook_secret(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, headers["x-hub-signature-256"]):
        return {"statusCode": 401, "body": "{}"}
    payload = json.loads(body)
    job = {
        "action": payload["action"],
        "repository": payload["repository"]["full_name"],
        "number": payload["pull_request"]["number"],
        "head": payload["pull_request"]["head"]["sha"],
        "base": payload["pull_request"]["base"]["sha"],
    }
    started = stepfunctions.start_execution(
        stateMachineArn=os.environ["STATE_MACHINE_ARN"], name=headers["x-github-delivery"], input=json.dumps(job)
    )
    print(json.dumps({"message": "accepted", "execution": started["executionArn"]}))
    return {"statusCode": 202, "body": json.dumps({"result": "started"})}
