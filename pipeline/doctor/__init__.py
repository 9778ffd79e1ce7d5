"""`ranklift doctor`: what people get wrong, each with its fix; one module for each group of checks."""
