"""Rules: pure functions from evidence to verdicts, ladders and findings. No I/O."""
