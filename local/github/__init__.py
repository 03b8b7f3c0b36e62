"""A GitHub for one machine: the REST API that Pullback uses, over a real git repository.

``server.LocalGitHub`` serves it in a thread, ``python -m local.github`` in a process of its own. Written against
GitHub's published OpenAPI description, which the tests hold it to; what is not listed in ``api.py`` answers 404.
"""

from local.github.faults import Fault
from local.github.model import File, PullRequest

__all__ = ["Fault", "File", "PullRequest"]
