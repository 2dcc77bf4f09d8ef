"""Kineto: the JSON that the PyTorch profiler writes, of every vintage."""
