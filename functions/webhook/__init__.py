"""The entrance: a signed GitHub delivery comes in, one Step Functions execution goes out."""

import shared.start  # noqa: F401 - before anything else is imported
