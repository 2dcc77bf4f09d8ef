"""What `advisor cost` takes its inputs from."""
