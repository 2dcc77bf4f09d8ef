"""A simulated libnvidia-ml.so.1 and the scenarios that drive it. See README.md beside this file."""
