"""What a profiler's trace shows: its figures, and the verdict, findings and what-ifs drawn from them."""
