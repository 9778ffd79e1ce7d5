"""The settings file, and how it reaches the tasks of the pipeline."""
