"""The screen over profiler traces: a timeline to zoom, and causes, kernels, steps, ranks and findings.

The only part of the screens that knows numpy; it is imported when a trace is opened, never before.
"""
