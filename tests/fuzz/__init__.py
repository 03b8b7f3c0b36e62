"""Fuzzing of every handler's entrance and of everything that reads what a stranger wrote: ``python -m tests.fuzz``."""
