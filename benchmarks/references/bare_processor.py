"""The processor's imports and clients without any framework."""

import boto3
import github
import requests
import unidiff
import yaml

clients = [boto3.client(service) for service in ("dynamodb", "s3", "secretsmanager", "stepfunctions")]


def lambda_handler(event, context):
    return [github.__name__, requests.__name__, unidiff.__name__, yaml.__name__]
