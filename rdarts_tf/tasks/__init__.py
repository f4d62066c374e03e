"""Loss and metrics of a batch, one module a task."""
