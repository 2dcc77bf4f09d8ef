"""Thresholds of the rules that read an inference engine's own metrics. See rules.thresholds."""

from __future__ import annotations

from rules.threshold import Threshold, own

KV_FULL = Threshold(
    "share of the KV cache from which an engine has no room for another request",
    0.9,
    own("vLLM preempts when a block is missing; below a tenth free, a long request or two fill the rest"),
)
KV_ROOM = Threshold(
    "share of the KV cache below which there is room for twice the requests",
    0.5,
    own("half of the cache holds as many requests again"),
)
FEW_RUNNING = Threshold(
    "running requests below which decoding is too small a batch for the card",
    32.0,
    "ML.ENERGY, Llama-3.1-8B on an H100: 32 requests reach 35 % of the best tokens a second, 8 reach 11 %",
)
WAITING = Threshold(
    "mean of waiting requests from which a queue stands",
    1.0,
    own("less than one on average is a request between two steps"),
)
ASKED = Threshold(
    "mean of running requests from which an engine had work for most of the window",
    0.5,
    own("one request for half of the time"),
)
UNASKED = Threshold(
    "mean of running or waiting requests below which nobody asks an engine for anything",
    0.05,
    own("one request for a twentieth of the time"),
)
EAGER_DECODE = Threshold(
    "share of decode passes without a CUDA graph from which that is worth a look",
    0.1,
    own("a batch larger than the largest captured graph now and then is normal"),
)
EAGER_GR = Threshold(
    "gr_active below which decoding waits for its host although requests run",
    0.8,
    own("between two decode steps a captured graph leaves less than a fifth idle"),
)
DRAM_LOW = Threshold(
    "share of the DRAM roof, while busy, below which decoding could take more requests",
    0.5,
    own("half of the bandwidth unused"),
)
SLO_MET = Threshold(
    "share of requests that meet the objective below which it is missed",
    0.9,
    "DistServe, OSDI'24: goodput is the rate at which 90 % of requests meet their latencies",
)
