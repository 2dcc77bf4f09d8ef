"""Serving: inference engines read from outside, through the metrics they already publish."""
