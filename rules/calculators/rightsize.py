"""Right-sizing: another GPU, a lower precision, a closed host gap, a larger batch; each as a bound.

Decode at a small batch moves every weight for each step, so its cost goes with dollars per byte moved:
(p2 / BW2) / (p1 / BW1), where it fits and its objective holds. What each bound assumes is said with it.
"""

from __future__ import annotations

from rules.calculators.calculation import Calculation, CalculationError, Input, Sheet
from rules.economics import host_gap_bound
from rules.whatifs.anchors import FP8_SOURCE

TITLE = "Right-sizing"
# Of memory, what weights and cache may take: contexts, graphs and workspaces need the rest.
FIT_FRAC = 0.9
FIX = (
    "for another GPU --model and --other-model (or --price, --bandwidth-gb-s, --other-price-usd-h and "
    "--other-bandwidth-gb-s); for a lower precision --weights-gb, --step-ms and --bandwidth-gb-s; for the "
    "host --gr-active-frac; for the batch --batch with --model (or --tflop-s and --bandwidth-gb-s); for the "
    "duty --requests-min and --request-s"
)


def rightsize(**inputs: Input | None) -> Calculation:
    """Every bound that the inputs allow; the first one of them is the result, or that it does not fit.

    Takes inputs by their names in QUANTITIES. Raises CalculationError where they allow none.
    """
    sheet = Sheet(*inputs.values())
    here = _fits(sheet, "", "this GPU")
    found = [main for work in (_other_gpu, _precision, _host, _batch, _duty) if (main := work(sheet))]
    if not found:
        raise CalculationError("there is too little to work anything out", f"give {FIX}")
    said, main = _against(sheet, here, found[0])
    return sheet.result("rightsize", f"{TITLE}: {said}" if said else TITLE, main)


def _against(sheet: Sheet, here: bool, main: str) -> tuple[str, str]:
    """What keeps the bound from being had, in words, and the figure that shows it; else the bound itself."""
    there = main != "other_of_room"
    if here and there:
        return ("it misses the objective" if main == "of_slo" else ""), main
    for said, this, whose in ((here, "", "This GPU"), (there, "other_", "The other GPU")):
        if not said:
            need, room = sheet["need_gb"], sheet[f"{this}room_gb"]
            sheet.warn(
                f"{whose} has {room:.4g} GB for it, {need:.4g} GB are needed: no bound here can be had."
            )
    where = "neither GPU" if not (here or there) else "this GPU" if there else "the other GPU"
    fits = "it fits" if where == "neither GPU" else "it does not fit"
    return f"{fits} {where}", "of_room" if there else "other_of_room"


def _other_gpu(sheet: Sheet) -> str | None:
    """Dollars per token on another GPU, of those on this one, for work that memory bandwidth binds.

    Or what rules the other GPU out.
    """
    if sheet.has("price_usd_h", "other_price_usd_h"):
        ratio = sheet["other_price_usd_h"] / sheet["price_usd_h"]
        sheet.add(
            "price_ratio", "frac", "an hour there, of an hour here", "other_price_usd_h / price_usd_h", ratio
        )
    if not sheet.has("price_usd_h", "other_price_usd_h", "bandwidth_gb_s", "other_bandwidth_gb_s"):
        return "price_ratio" if sheet.has("price_ratio") else None
    for this in ("", "other_"):
        rate = sheet[f"{this}bandwidth_gb_s"] / sheet[f"{this}price_usd_h"]
        meaning = "bandwidth for a dollar an hour" + (", other GPU" if this else "")
        formula = f"{this}bandwidth_gb_s / {this}price_usd_h"
        sheet.add(f"{this}gb_s_per_usd_h", "GB/s per $/h", meaning, formula, rate)
    if not _fits(sheet, "other_", "the other GPU"):
        return "other_of_room"
    ratio = sheet["gb_s_per_usd_h"] / sheet["other_gb_s_per_usd_h"]
    meaning = "dollars per token there, of those here"
    sheet.add("usd_per_token_ratio", "x", meaning, "gb_s_per_usd_h / other_gb_s_per_usd_h", ratio)
    sheet.note(
        "Holds while memory bandwidth binds both GPUs, as in decode at a small batch; a bound, no forecast."
    )
    return "usd_per_token_ratio" if _in_time(sheet) else "of_slo"


def _fits(sheet: Sheet, this: str, whose: str) -> bool:
    """Whether weights and cache fit into a GPU's memory; nothing is said against what is not known."""
    if not sheet.has(f"{this}memory_gb"):
        return True
    if not sheet.has("weights_gb"):
        if this:
            sheet.warn("Whether it fits is not checked: give --weights-gb and --kv-gb.")
        return True
    need = _needed(sheet)
    room = sheet[f"{this}memory_gb"] * FIT_FRAC
    if not this and need <= room:
        return True
    sheet.add(
        f"{this}room_gb", "GB", f"memory of {whose}, less a tenth", f"{this}memory_gb × {FIT_FRAC}", room
    )
    meaning = f"memory needed, of what {whose} has"
    sheet.add(f"{this}of_room", "x", meaning, f"need_gb / {this}room_gb", need / room)
    return need <= room


def _needed(sheet: Sheet) -> float:
    """Gigabytes that weights and cache take."""
    if sheet.has("need_gb"):
        return sheet["need_gb"]
    need, formula = sheet["weights_gb"], "weights_gb"
    if sheet.has("kv_gb"):
        need, formula = need + sheet["kv_gb"], "weights_gb + kv_gb"
    else:
        sheet.warn("The KV cache (--kv-gb) is not counted: whether it fits is said of the weights alone.")
    return sheet.add("need_gb", "GB", "memory needed", formula, need)


def _in_time(sheet: Sheet) -> bool:
    """Whether a step on the other GPU keeps the objective, as far as both are known."""
    if not sheet.has("step_ms"):
        return True
    step = sheet["step_ms"] * sheet["bandwidth_gb_s"] / sheet["other_bandwidth_gb_s"]
    formula = "step_ms × bandwidth_gb_s / other_bandwidth_gb_s"
    sheet.add("other_step_ms", "ms", "a step on the other GPU", formula, step)
    if not sheet.has("slo_ms"):
        return True
    part = step / sheet["slo_ms"]
    sheet.add("of_slo", "x", "a step there, of what the objective allows", "other_step_ms / slo_ms", part)
    if part > 1.0:
        sheet.warn(f"It misses the objective: {step:.4g} ms a step, {sheet['slo_ms']:.4g} ms allowed.")
    return part <= 1.0


def _precision(sheet: Sheet) -> str | None:
    """Most that a lower precision of the weights can give: their bytes shrink, the rest of a step stays."""
    if not sheet.has("weights_gb", "bandwidth_gb_s", "step_ms", "kept_frac"):
        return None
    read = sheet["weights_gb"] / sheet["bandwidth_gb_s"] * 1e3
    sheet.add("weights_ms", "ms", "reading every weight once", "weights_gb / bandwidth_gb_s × 1000", read)
    if read > sheet["step_ms"]:
        raise CalculationError(
            f"reading the weights takes {read:.3g} ms, more than the step of {sheet['step_ms']:.3g} ms",
            "check --weights-gb (of one GPU), --bandwidth-gb-s and --step-ms",
        )
    rest = sheet["step_ms"] - read * (1.0 - sheet["kept_frac"])
    sheet.add("lower_step_ms", "ms", "a step, at best", "step_ms - weights_ms × (1 - kept_frac)", rest)
    bound = sheet["step_ms"] / rest
    sheet.add("precision_bound", "x", "most a lower precision can give", "step_ms / lower_step_ms", bound)
    sheet.note(
        "The precision's bound is of bandwidth alone; conversions and kernels can make it slower. FP8 over "
        f"BF16 on {FP8_SOURCE}."
    )
    return "precision_bound"


def _host(sheet: Sheet) -> str | None:
    """Most that keeping the GPU fed can give."""
    if not sheet.has("gr_active_frac"):
        return None
    bound = host_gap_bound(1.0 - sheet["gr_active_frac"])
    if bound is None:
        sheet.note("Hardly anything ran, so closing the host gap has no bound.")
        return None
    sheet.add("host_bound", "x", "most that closing the host gap can give", "1 / gr_active_frac", bound)
    return "host_bound"


def _batch(sheet: Sheet) -> str | None:
    """What decode uses of the peak, and what a lower precision's peak is of this one's."""
    main = None
    if sheet.has("batch", "tflop_s", "bandwidth_gb_s", "weight_bytes"):
        ridge = sheet["tflop_s"] * 1e3 / sheet["bandwidth_gb_s"]
        sheet.add("ridge_flop_byte", "FLOP/B", "ridge point", "tflop_s × 1000 / bandwidth_gb_s", ridge)
        batch = ridge * sheet["weight_bytes"] / 2.0
        formula = "ridge_flop_byte × weight_bytes / 2"
        sheet.add("ridge_batch", "count", "batch at which compute binds", formula, batch)
        main, use = "peak_frac", min(1.0, sheet["batch"] / batch)
        sheet.add(main, "frac", "decode's part of the peak, at most", "min(1, batch / ridge_batch)", use)
        if sheet["batch"] > batch:
            sheet.note(f"From batch {batch:.4g} on compute binds, and more batch gives no more throughput.")
    return _peaks(sheet) or main


def _peaks(sheet: Sheet) -> str | None:
    """What a lower precision's peak is of this one's, which bounds work that compute binds."""
    if not sheet.has("tflop_s", "other_tflop_s"):
        return None
    ratio = sheet["other_tflop_s"] / sheet["tflop_s"]
    sheet.add(
        "peak_ratio", "x", "most a lower precision can give, compute-bound", "other_tflop_s / tflop_s", ratio
    )
    sheet.add("bytes_ratio", "x", "the same, memory-bound", "1 / kept_frac", 1.0 / sheet["kept_frac"])
    return "peak_ratio"


def _duty(sheet: Sheet) -> str | None:
    """Share of time that requests keep the GPU busy."""
    if not sheet.has("requests_min", "request_s"):
        return None
    duty = sheet["requests_min"] * sheet["request_s"] / 60.0
    sheet.add(
        "duty_frac", "frac", "of the time kept busy by these requests", "requests_min × request_s / 60", duty
    )
    return "duty_frac"
