"""The webhook as the documentation of Powertools shows its parts: its model of the event, everything patched."""

import hashlib
import hmac
import json
import os

import boto3
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.parser import BaseModel, event_parser
from aws_lambda_powertools.utilities.parser.models import APIGatewayProxyEventModel

logger = Logger(service="webhook")
metrics = Metrics(service="webhook", namespace="usual")
tracer = Tracer(service="webhook")
stepfunctions = boto3.client("stepfunctions")
provider = parameters.SecretsProvider()


class Commit(BaseModel):
    sha: str
    ref: str


class PullRequest(BaseModel):
    number: int
    title: str
    head: Commit
    base: Commit


class Repository(BaseModel):
    full_name: str


class Payload(BaseModel):
    action: str
    repository: Repository
    pull_request: PullRequest


@logger.inject_lambda_context
@metrics.log_metrics(capture_cold_start_metric=True)
@tracer.capture_lambda_handler
@event_parser(model=APIGatewayProxyEventModel)
def lambda_handler(event, context):
    body = (event.body or "").encode()
    headers = {name.lower(): value for name, value in event.headers.items()}
    secret = provider.get(os.environ["WEBHOOK_SECRET_ARN"])
    expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, headers["x-hub-signature-256"]):
        return {"statusCode": 401, "body": "{}"}
    payload = Payload.model_validate_json(body)
    stepfunctions.start_execution(
        stateMachineArn=os.environ["STATE_MACHINE_ARN"],
        name=headers["x-github-delivery"],
        input=payload.model_dump_json(),
    )
    metrics.add_metric(name="Accepted", unit=MetricUnit.Count, value=1)
    logger.info("accepted")
    return {"statusCode": 202, "body": json.dumps({"result": "started"})}
