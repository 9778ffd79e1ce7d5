"""The promote stage: registers a model version and makes it the champion."""
