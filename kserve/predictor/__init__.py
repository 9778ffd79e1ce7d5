"""ranklift's predictor: a custom KServe model on the exported encoder; no torch, no transformers, no KFP."""
