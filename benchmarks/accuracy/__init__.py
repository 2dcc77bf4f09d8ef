"""How often verdicts are right: recordings of labelled workloads, replayed and compared with their truth."""
