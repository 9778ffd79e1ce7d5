"""What each stage of ranklift does: plain Python first, a thin KFP wrapper second."""
