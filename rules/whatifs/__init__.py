"""What-ifs: one function a fix, and how fixes compose."""
