"""Images, and runs in containers on this machine."""
