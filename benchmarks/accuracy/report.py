"""Report: the document as plain text, 100 columns wide, or as Markdown tables. Names in it are escaped."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from advisor.reports.escape import markdown, terminal
from benchmarks.accuracy.document import Document, Given, WorkloadRow
from benchmarks.accuracy.parts import CONSTRUCTION
from benchmarks.accuracy.score import CONFIDENT, UNKNOWN, Metrics
from benchmarks.workloads.spec import LABELS

WIDTH = 100
NO_REAL = "No recording made on a GPU exists yet, so there is no accuracy to report."
_SHOWN_PROBLEMS = 20
_SHARE = "share: of the class that took most of the time, truth/verdict"

Table = list[list[str]]


def text(doc: Document) -> str:
    """The whole report for a terminal."""
    sections = (
        _head(doc),
        _titled(f"Figures ({doc.part})", _columns(headline(doc))),
        _titled("Beside them", _columns(parts(doc))),
        _titled("By construction alone, in no other figure", _columns(construction(doc))),
        *(
            _titled(f"By class, {tier} ({doc.part})", _columns(classes(found)))
            for tier, found in doc.tiers.items()
        ),
        *(
            _titled(f"Confusion, {tier}: rows are truths, columns verdicts", _columns(confusion(found)))
            for tier, found in doc.confusion.items()
        ),
        *(_titled(f"Calibration, {tier}", _columns(calibration(found))) for tier, found in doc.tiers.items()),
        _titled("Ablations", _columns(ablations(doc))),
        _titled("Rivals: the class alone", _columns(rivals(doc))),
        _titled(f"Each workload ({_SHARE})", _columns(workloads(doc))),
        _titled("Right class, another cause", _columns(causes(doc))),
        _failures(doc),
        _left_out(doc),
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(doc: Document) -> str:
    lines = [doc.claim] if doc.synthetic else []
    made = f"{terminal(doc.device) or 'no device'}, recorded {', '.join(map(terminal, doc.dates)) or 'never'}"
    lines.append(f"{len(doc.workloads)} recordings: {made}")
    lines.append(f"Counted in the {doc.part} part: {counted(doc)}.")
    lines.append(f"Accuracy: {doc.accuracy_is}. {_WORDS}")
    return "\n".join(part for line in lines for part in textwrap.wrap(line, WIDTH))


_WORDS = (
    "In brackets: 95 % interval. decided: of those with a verdict; none: without one; sure wrong: wrong at a "
    "confidence of 0.9 or more."
)


def headline(doc: Document) -> Table:
    """One line a tier."""
    return [_HEAD, *(_figures(tier, found) for tier, found in doc.tiers.items())]


def parts(doc: Document) -> Table:
    """One line a part and tier, for the parts that are not the headline."""
    others = [(which, tiers) for which, tiers in doc.parts.items() if which != doc.part]
    return [_HEAD, *(_figures(f"{tier}, {which}", m) for which, tiers in others for tier, m in tiers.items())]


def construction(doc: Document) -> Table:
    """One line a tier, of truths that nothing but their construction speaks for; none without any."""
    return [_HEAD, *(_figures(tier, m) for tier, m in doc.construction.items())] if doc.construction else []


def counted(doc: Document) -> str:
    """ "host 10, compute 8": how many recordings of each class the headline figures are of."""
    found = next(iter(doc.tiers.values()), None)
    known = [] if found is None else [f"{c} {f.n}" for c, f in found.by_class.items() if f.n]
    return ", ".join(known) or "none"


_HEAD = ["", "n", "accuracy", "decided", "none", "sure wrong", "share error", "Brier", "cause"]


def _figures(name: str, m: Metrics) -> list[str]:
    mean, most = number(m.share_error), number(m.share_error_max)
    return [
        name,
        str(m.n),
        number(m.accuracy) + interval(m.accuracy_interval),
        number(m.accuracy_decided),
        str(m.abstained),
        str(m.confident_mistakes),
        f"{mean} (max {most})",
        number(m.brier),
        number(m.cause_accuracy),
    ]


def classes(m: Metrics) -> Table:
    """Precision and recall by class."""
    rows = [[c, str(f.n), str(f.given), number(f.precision), number(f.recall)] for c, f in m.by_class.items()]
    return [["class", "recordings", "verdicts", "precision", "recall"], *rows]


def confusion(counts: dict[str, dict[str, int]]) -> Table:
    """Labels down, classes given across."""
    across = [*LABELS, UNKNOWN]
    return [
        ["", *across],
        *([label, *(str(row.get(c, 0)) for c in across)] for label, row in counts.items()),
    ]


def calibration(m: Metrics) -> Table:
    """One line a bin of confidence."""
    rows = [
        [
            f"{b.low:g} to {b.high:g}",
            str(b.n),
            number(b.mean_confidence),
            number(b.right_share),
            interval(b.interval).strip(" ()") or "–",
        ]
        for b in m.calibration
    ]
    return [["confidence", "n", "mean", "right", "95 % interval"], *rows]


def ablations(doc: Document) -> Table:
    """One line an ablation and tier, with the change of accuracy against the headline."""
    rows = []
    for ablation in doc.ablations.values():
        for tier, m in ablation.tiers.items():
            change = change_of(doc.tiers[tier].accuracy, m.accuracy)
            rows.append(
                [
                    ablation.about,
                    tier,
                    number(m.accuracy),
                    change,
                    str(m.abstained),
                    str(m.confident_mistakes),
                ]
            )
    return [["", "tier", "accuracy", "change", "none", "sure wrong"], *rows] if rows else []


def rivals(doc: Document) -> Table:
    """One line a rival, ours before them. named: by the looks at which it named a class at all.

    beside: our tier with the same figures to go by.
    """
    ours = [
        [
            f"advisor, {tier}",
            str(m.n),
            number(m.accuracy),
            number(m.accuracy_decided),
            str(m.abstained),
            "",
            "",
            "",
        ]
        for tier, m in doc.tiers.items()
    ]
    theirs = [
        [
            f"{name} {_short(r.version)}".strip(),
            str(r.n),
            number(r.accuracy),
            number(r.accuracy_decided),
            str(r.abstained),
            number(r.accuracy_named),
            r.sees,
            r.missing or "",
        ]
        for name, r in doc.rivals.items()
    ]
    return [["", "n", "accuracy", "decided", "none", "named", "beside", ""], *ours, *theirs]


def _short(version: str) -> str:
    """Up to the first comma."""
    return version.partition(",")[0]


def workloads(doc: Document) -> Table:
    """One line a recording: its truth, and what each tier said, how surely, and of how much of the time.

    Shares are of the class that took most of the time by the truth, as truth/verdict; it is named where it is
    not the label.
    """
    tiers = list(doc.tiers)
    head = ["workload", "part", "truth", *(cell for tier in tiers for cell in (tier, "sure", "share"))]
    return [head, *(_workload(w, tiers) for w in doc.workloads)]


def _workload(w: WorkloadRow, tiers: Sequence[str]) -> list[str]:
    apart = "construction" if w.because.startswith(CONSTRUCTION) else "not counted"
    mark = (w.part or "neither") if w.confirmed else apart
    return [w.name, mark, w.label, *(cell for tier in tiers for cell in _said(w, w.tiers[tier]))]


def _said(w: WorkloadRow, g: Given) -> tuple[str, str, str]:
    wrong = not g.right and g.class_ != UNKNOWN
    return g.class_ + (" WRONG" if wrong else ""), f"{g.confidence:.2f}", _against_truth(w, g)


def _against_truth(w: WorkloadRow, g: Given) -> str:
    """ "0.60/0.55", or "memory 0.60/0.55" where memory is not the label; a dash without shares."""
    if not w.shares or not g.shares:
        return "–"
    most = max(w.shares, key=lambda name: w.shares[name])
    named = "" if most == w.label else f"{most} "
    return f"{named}{w.shares[most]:.2f}/{g.shares.get(most, 0.0):.2f}"


def causes(doc: Document) -> Table:
    """One line a recording whose class is right and whose cause is not, or is so in one tier alone."""
    rows = [
        [w.name, w.cause, *(g.cause if g.cause_right is not None else "–" for g in w.tiers.values())]
        for w in doc.workloads
        if w.confirmed and any(g.cause_right is False for g in w.tiers.values())
    ]
    return [["workload", "truth", *doc.tiers], *rows]


def failures(doc: Document) -> list[str]:
    """Each wrong verdict: truth and verdict, shares of both, and by what it was decided."""
    return [
        _failure(w, tier, g)
        for w in doc.workloads
        if w.confirmed
        for tier, g in w.tiers.items()
        if not g.right and g.class_ != UNKNOWN
    ]


def _failure(w: WorkloadRow, tier: str, g: Given) -> str:
    sure = " CONFIDENT MISTAKE:" if g.confidence >= CONFIDENT else ""
    margins = "; ".join(f"{m.name} {m.value:.3f} against {m.threshold:.3f}" for m in g.margins)
    return (
        f"{w.name} ({tier}, {w.part or 'neither part'}):{sure} is {w.label}, judged {g.class_} ({g.cause}) "
        f"at {g.confidence:.2f}. Truth {shares(w.shares)}; verdict {shares(g.shares)}. "
        f"Decided by {margins or '–'}."
    )


def _failures(doc: Document) -> str:
    return _bulleted("Wrong verdicts", failures(doc))


def _left_out(doc: Document) -> str:
    unconfirmed = [
        f"{w.name}: truth not confirmed by its accounting: {w.because}"
        for w in doc.workloads
        if not w.confirmed
    ]
    abstained = [
        f"{w.name} ({tier}): no verdict: {'; '.join(g.unknown_because) or g.cause}"
        for w in doc.workloads
        for tier, g in w.tiers.items()
        if g.class_ == UNKNOWN
    ]
    damaged = [f"{p.file}: {p.reason}" for p in doc.problems[:_SHOWN_PROBLEMS]]
    if len(doc.problems) > _SHOWN_PROBLEMS:
        damaged.append(f"{len(doc.problems) - _SHOWN_PROBLEMS} more")
    skipped = [f"{name}: {why}" for name, why in doc.skipped.items()]
    sections = (
        _bulleted("Not counted", unconfirmed),
        _bulleted("Abstained", abstained),
        _bulleted("Left out", damaged),
        _bulleted("Not recorded", skipped),
    )
    return "\n\n".join(section for section in sections if section)


def _bulleted(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    wrapped = (
        textwrap.fill(terminal(line), WIDTH, initial_indent="- ", subsequent_indent="  ") for line in lines
    )
    return "\n".join((title, *wrapped))


def shares(found: dict[str, float]) -> str:
    """ "host 0.60, compute 0.40": the shares that are not nothing."""
    known = [f"{name} {share:.2f}" for name, share in found.items() if share >= 0.005]
    return ", ".join(known) or "unknown"


def number(value: float | None) -> str:
    """Three digits, or a dash for what there is nothing to take from."""
    return "–" if value is None else f"{value:.3f}"


def interval(span: tuple[float, float] | None) -> str:
    """ " (0.82–0.99)", or nothing."""
    return "" if span is None else f" ({span[0]:.2f}–{span[1]:.2f})"


def change_of(before: float | None, after: float | None) -> str:
    """ "-0.120", or a dash."""
    return "–" if before is None or after is None else f"{after - before:+.3f}"


def _titled(title: str, body: str) -> str:
    return f"{title}\n{body}" if body else ""


def _columns(table: Table) -> str:
    """The table in columns: the first to the left, figures to the right, cut to the width."""
    if len(table) < 2:
        return ""
    rows = [[terminal(cell) for cell in row] for row in table]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    right = [_is_figures(row[i] for row in rows[1:]) for i in range(len(rows[0]))]
    lines = ["  ".join(_cell(c, w, r) for c, w, r in zip(row, widths, right, strict=True)) for row in rows]
    return "\n".join(_cut(line.rstrip()) for line in lines)


def _cell(text_: str, width: int, right: bool) -> str:
    return text_.rjust(width) if right else text_.ljust(width)


def _is_figures(cells: Iterable[str]) -> bool:
    return all(not cell or cell[0] in "0123456789+-–" for cell in cells)


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


def as_markdown(doc: Document) -> str:
    """The results section of docs/accuracy.md. Synthetic recordings give none: they claim nothing."""
    if doc.synthetic or not doc.workloads:
        return f"{NO_REAL}\n"
    sections = (
        f"{markdown(doc.device)}, recorded {', '.join(map(markdown, doc.dates))}. {len(doc.workloads)} "
        f"recordings; figures are of the {doc.part} part ({counted(doc)}) unless said. Accuracy: "
        f"{doc.accuracy_is}.",
        _pipes(headline(doc)),
        "Beside them:\n\n" + _pipes(parts(doc)),
        *_apart(doc),
        *(f"By class, `{tier}`:\n\n" + _pipes(classes(m)) for tier, m in doc.tiers.items()),
        *(
            f"Confusion, `{tier}` (rows are truths):\n\n" + _pipes(confusion(c))
            for tier, c in doc.confusion.items()
        ),
        *(f"Calibration, `{tier}`:\n\n" + _pipes(calibration(m)) for tier, m in doc.tiers.items()),
        *(["Ablations:\n\n" + _pipes(ablations(doc))] if doc.ablations else []),
        "Rivals, the class alone:\n\n" + _pipes(rivals(doc)),
        f"Each workload ({_SHARE}):\n\n" + _pipes(workloads(doc)),
        *(["Right class, another cause:\n\n" + _pipes(causes(doc))] if len(causes(doc)) > 1 else []),
        "Wrong verdicts:\n\n" + ("\n".join(f"- {markdown(line)}" for line in failures(doc)) or "None."),
    )
    return "\n\n".join(sections) + "\n"


def _apart(doc: Document) -> list[str]:
    table = construction(doc)
    return ["By construction alone, in no other figure:\n\n" + _pipes(table)] if table else []


def _pipes(table: Table) -> str:
    rows = [[markdown(cell) for cell in row] for row in table]
    return "\n".join(("| " + " | ".join(row) + " |") for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]])
