"""A function's cold start: imported first of all, by each function's package.

Python looks for garbage as objects are made, and a start makes hundreds of thousands that all stay: 5 % of its
instructions look for nothing (`make bench`). So the collector rests until the handler is made, and what is there by
then is never looked through again. On Lambda alone: elsewhere the process is somebody else's.
"""

from __future__ import annotations

import gc
import os

_is_lambda = "LAMBDA_TASK_ROOT" in os.environ

if _is_lambda:
    gc.disable()


def is_over() -> None:
    """Says that everything that stays has been made."""
    if _is_lambda:
        gc.freeze()
        gc.enable()
