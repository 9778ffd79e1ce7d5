"""`source`: what the raw data is at this moment."""
