"""The work: runs one action for a job, reports on the pull request, completes the task."""

import shared.start  # noqa: F401 - before anything else is imported
