"""How the stages connect: the DAG, settings, running it, and the command line."""
