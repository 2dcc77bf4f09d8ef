"""Asking a running PyTorch process for a trace, as its profiler's daemon would."""
