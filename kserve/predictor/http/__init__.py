"""HTTP: connections, limits, middleware and answers."""
