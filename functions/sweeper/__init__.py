"""Asks GitHub to deliver again what the webhook was not there to take."""
