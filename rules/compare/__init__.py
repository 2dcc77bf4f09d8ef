"""Comparison of two looks: records, intervals of differences, and what a prediction came to."""
