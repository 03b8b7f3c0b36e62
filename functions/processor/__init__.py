"""The work: runs one action for a job, reports on the pull request, completes the task."""
