"""Runs in processes on this machine, and the predictor here."""
