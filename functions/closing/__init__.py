"""Closes the status of work whose execution ended without success."""

import shared.start  # noqa: F401 - before anything else is imported
