"""Closes the status of work whose execution ended without success."""
