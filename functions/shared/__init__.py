"""What all functions need: the job contract, settings, AWS clients, telemetry and idempotency."""
