"""Deploy on one machine: the folder that its predictor serves."""
