"""Asks GitHub to deliver again what the webhook was not there to take."""

import shared.start  # noqa: F401 - before anything else is imported
