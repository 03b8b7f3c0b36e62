"""`make replay`: shows the operator what is dead, and starts it again."""
