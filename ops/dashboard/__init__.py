"""The CloudWatch dashboard without AWS: its body is read from the deployed stack, and drawn as a page of its own."""
