"""The watch: what no event tells of by itself, looked up every minute."""

import shared.start  # noqa: F401 - before anything else is imported
