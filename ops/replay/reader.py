"""The functions' own reader of dead work: the operator sees a message exactly as the replay function will read it.

Beside the catalogue of metrics the only functions' code that the command line imports. It is pure, and a second reader
of the same four shapes would one day read them differently.
"""

from __future__ import annotations

import sys

from local.stack import PROJECT

# Where Lambda unpacks the functions: they import each other from there.
_ROOT = str(PROJECT / "functions")
if _ROOT not in sys.path:
    sys.path.append(_ROOT)

from shared.dead_work import DeadWork, PoisonMessage, read  # noqa: E402
from shared.executions import EXECUTION_LIMIT  # noqa: E402
from shared.job import Job  # noqa: E402

__all__ = ["EXECUTION_LIMIT", "DeadWork", "Job", "PoisonMessage", "read"]
