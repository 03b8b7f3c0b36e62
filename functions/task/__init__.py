"""The dispatch: hands job and task token to the processor and returns."""
