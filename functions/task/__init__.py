"""The dispatch: hands job and task token to the processor and returns."""

import shared.start  # noqa: F401 - before anything else is imported
