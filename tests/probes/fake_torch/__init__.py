"""A folder for PYTHONPATH. A package only so that type checkers do not take its module for torch."""
