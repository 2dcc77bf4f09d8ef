"""The rules, one function each. Importing a module registers its rules; see rules.registry."""
