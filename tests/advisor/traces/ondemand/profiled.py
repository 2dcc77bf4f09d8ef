"""A training loop to be asked for a trace: `python profiled.py SECONDS`. It says when steps are counted."""

from __future__ import annotations

import sys
import time

import torch

model = torch.nn.Linear(16, 16)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
until = time.monotonic() + float(sys.argv[1])
while time.monotonic() < until:
    optimizer.zero_grad()
    model(torch.randn(4, 16)).sum().backward()
    optimizer.step()
    sys.stdout.write(".")
    sys.stdout.flush()
    time.sleep(0.01)
