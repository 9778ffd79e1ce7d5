"""The hold stage: leaves everything as it is and says why."""
