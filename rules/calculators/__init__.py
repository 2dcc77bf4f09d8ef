"""Calculators: cost formulas with their inputs, worked out step by step. Pure functions, no I/O."""
