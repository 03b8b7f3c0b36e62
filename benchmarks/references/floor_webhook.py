"""What nobody can leave out of a delivery's body: its signature is checked, its JSON is read."""

import hashlib
import hmac
import json

SECRET = b"It's a Secret to Everybody"


def lambda_handler(event, context):
    expected = "sha256=" + hmac.new(SECRET, event["body"].encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, event["headers"]["X-Hub-Signature-256"]):
        return {"statusCode": 401}
    json.loads(event["body"])
    return {"statusCode": 202}
