"""The registry: immutable versions of datasets, models and indexes, and the champion."""
