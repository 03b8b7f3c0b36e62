"""Tells the execution that its processor died."""

import shared.start  # noqa: F401 - before anything else is imported
