"""Files as users bring them: from a URI to this machine, and record by record, whatever their format."""
