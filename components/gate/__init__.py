"""Gate: promote or hold, from two score files and nothing else."""
