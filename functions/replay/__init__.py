"""Starts the job of dead work again."""
