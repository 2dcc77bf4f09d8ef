"""One call on a machine with a GPU: probes, peers and recordings within a budget, into one archive."""
