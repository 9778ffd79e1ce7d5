"""The choose stage: compares the measurements of several base models and recommends one."""
