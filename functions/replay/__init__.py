"""Starts the job of dead work again."""

import shared.start  # noqa: F401 - before anything else is imported
