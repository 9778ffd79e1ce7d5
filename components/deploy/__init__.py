"""The deploy stage: puts a version into service and rolls back when that fails."""
