"""Tells the execution that its processor died."""
