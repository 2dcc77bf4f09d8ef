"""A Diagnosis as a ticket: verdict, money, evidence, action, provenance, in that order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from advisor.document import Diagnosis
from advisor.reports import bills, serving, sources, whatifs
from advisor.reports.common import criticals, is_node, labels, overlap, ranked, width_of
from advisor.reports.findings import MAX_ALSO, EvidenceRow, FindingView, nothing_found, view
from advisor.reports.fitting import Fitted, Part, fit
from advisor.reports.ladders import Ladder, ladder, unpriced
from advisor.reports.markdown_traces import traces
from advisor.reports.markup import Align, GitHub, Jira, Markup
from advisor.reports.titles import title, workload_line
from rules.finding import Finding

Flavor = Literal["github", "jira"]

# GitHub refuses bodies over 65,536 characters, Jira text fields over 32,767; both leave room for a reply.
LIMITS: dict[Flavor, int] = {"github": 60_000, "jira": 30_000}
MIN_LIMIT = 8_000

KEPT_FINDINGS = 3
MAX_DEVICE_ROWS = 128
_EVIDENCE_HEADS = ("evidence", "value", "threshold", "read from")
_PLURALS = {
    "finding": ("smaller finding", "smaller findings"),
    "evidence table": ("evidence table", "evidence tables"),
}


def render_markdown(
    diagnosis: Diagnosis, flavor: Flavor = "github", limit: int | None = None, *, top: int | None = None
) -> str:
    """The document as GitHub Markdown or Jira wiki markup, at most `limit` characters (UTF-16 units).

    Untrusted text cannot inject markup. What does not fit is left out whole, the smallest findings
    first, and the text says so. top: how many kernels of a trace to list. Redaction is the caller's: see
    `advisor.reports.redact`. Raises ValueError for a limit under MIN_LIMIT.
    """
    limit = LIMITS[flavor] if limit is None else limit
    if limit < MIN_LIMIT:
        raise ValueError(f"a report cannot be fitted into {limit} characters; give {MIN_LIMIT} or more")
    return _Ticket(diagnosis, GitHub() if flavor == "github" else Jira(), limit, top).render()


class _Ticket:
    """One rendering."""

    def __init__(self, diagnosis: Diagnosis, markup: Markup, limit: int, top: int | None = None) -> None:
        self.d = diagnosis
        self.top = top
        self.m = markup
        self.limit = limit

    def render(self) -> str:
        """Make every part, let the least important give way, and put them together."""
        kept = self._findings()
        unmade = len(self.d.findings) - len(kept)
        tail = [
            self._devices(),
            self._readings(),
            self._notes(),
            self._provenance(),
            self._made(),
            self._what_ifs(),
            self._serving(),
            traces(self.d, self.m, self.top),
        ]
        parts = [Part(sizes=(self._head(),)), *kept, *tail]
        fitted = fit(parts, _steps(len(kept), criticals(self.d.findings)), self.limit)
        after = 1 + len(kept)
        *rest, what_ifs, engines, traced = fitted.texts[after:]
        pieces = [*fitted.texts[:after], self._left_out(fitted, unmade), what_ifs, traced, engines, *rest]
        return "".join(pieces).rstrip("\n") + "\n"

    def _head(self) -> str:
        style, m = self.m.style, self.m
        first, second = title(self.d, style)
        found = labels(self.d, style)
        head = m.label(" ".join(found)) if found else ""
        said = overlap(self.d) if self.d.findings else f"No findings. {nothing_found(self.d)}."
        body = m.paragraph(said) if said else ""
        who = workload_line(self.d, style)
        head += m.heading(2, f"{first} {second}") + (m.paragraph(who) if who else "")
        return head + self._ladder(ladder(self.d, style)) + body

    def _ladder(self, table: Ladder) -> str:
        if not table.lines:
            return ""
        heads: list[tuple[str, Align]] = [("share", "right"), ("where it goes", "left")]
        heads += [("who can act", "left"), ("recoverable", "right")]
        won = {each.term: each for each in bills.won_back(self.d, self.m.style)}
        rows = [[line.share, line.where, *_won(won.get(line.term))] for line in table.lines]
        bold = self.m.bold
        rows.append([bold("100 %"), table.price, "", bold(bills.whole(self.d))])
        if table.price_usd_h is not None:
            price = bold(table.usd(table.price_usd_h).replace("$", ""))
            heads.insert(0, ("$/h", "right"))
            amounts = [(line.usd or "").replace("$", "") for line in table.lines]
            rows = [[cell, *row] for cell, row in zip([*amounts, price], rows, strict=True)]
        said = (bills.month_line(self.d), unpriced(table.unpriced) if table.unpriced else "")
        return self.m.table(heads, rows) + "".join(self.m.paragraph(line) for line in said if line)

    def _findings(self) -> list[Part]:
        """Texts of the findings that can fit at all, in the order shown."""
        kept: list[Part] = []
        total = 0
        for finding in ranked(self.d.findings):
            if total > self.limit:
                break
            part = self._finding(finding)
            total += width_of(part.sizes[1])
            kept.append(part)
        return kept

    def _finding(self, finding: Finding) -> Part:
        seen = view(finding, self.d, self.m.style)
        if seen.is_contributing:
            return self._also(seen)
        head = self.m.heading(3, f"{seen.code} {seen.title}") + self.m.paragraph(" · ".join(seen.facts))
        head += self.m.paragraph(f"{self.m.bold('What')} {seen.claim}") if seen.claim else ""
        body = self._advice(seen)
        if not seen.evidence:
            return Part(sizes=(head + body, head + body, ""), lost=("", "finding"))
        return Part(
            sizes=(head + self._evidence(seen) + body, head + body, ""), lost=("evidence table", "finding")
        )

    def _also(self, seen: FindingView) -> Part:
        """What contributes to the finding above it, in a few lines; the JSON has its evidence."""
        bold = self.m.bold
        said = self.m.paragraph(f"{bold(f'Also {seen.code}')} {seen.claim or seen.title}")
        lines = [f"{bold('Do')} {action}" for action in seen.actions[:MAX_ALSO]]
        lines += [f"{bold('Expect')} {seen.expect}"] if seen.expect else []
        more = said + (self.m.bullets(lines) if lines else "")
        return Part(sizes=(more, said, ""), lost=("", "finding"))

    def _evidence(self, seen: FindingView) -> str:
        more = (
            self.m.paragraph(f"{seen.more_evidence} more lines are in the JSON.")
            if seen.more_evidence
            else ""
        )
        heads: list[tuple[str, Align]] = [(name, "left") for name in _EVIDENCE_HEADS]
        return self.m.table(heads, [_cells(row) for row in seen.evidence]) + more

    def _advice(self, seen: FindingView) -> str:
        bold, lines = self.m.bold, []
        if seen.why:
            lines.append(f"{bold('Why')} {seen.why}")
        lines += [f"{bold('Do')} {action}" for action in seen.actions]
        if seen.expect:
            lines.append(f"{bold('Expect')} {seen.expect}")
        lines.append(f"{bold('Check')} {' and '.join(seen.check)}")
        return self.m.bullets(lines)

    def _devices(self) -> Part:
        """The table of GPUs: needed only where there is more than one."""
        if not is_node(self.d):
            return Part(sizes=("", "", "", ""), lost=("",) * 3)
        rows = sources.device_rows(self.d, self.m.style)
        sizes = [self._device_table(rows, count) for count in (MAX_DEVICE_ROWS, 16, 4)]
        return Part(sizes=(*sizes, ""), lost=("", "", "the table of GPUs"))

    def _device_table(self, rows: Sequence[sources.DeviceRow], count: int) -> str:
        right = {"confidence", "$/h", "wasted", "recoverable"}
        heads = ("GPU", "workload", "verdict", "confidence", "$/h", "wasted", "recoverable")
        cells = [
            [r.name, r.workload, r.verdict, r.confidence, r.price.replace("$", ""), r.wasted, r.recoverable]
            for r in rows[:count]
        ]
        more = (
            self.m.paragraph(f"{len(rows) - count} more rows are in the JSON.") if len(rows) > count else ""
        )
        drawn = self.m.table([(name, "right" if name in right else "left") for name in heads], cells)
        return self.m.heading(3, "All GPUs") + drawn + more + self._jobs(count)

    def _jobs(self, count: int) -> str:
        """What each job costs, and the fleet; the last row is all of them."""
        rows = bills.job_rows(self.d, self.m.style)
        heads = ("job", "GPU", "$/h", "wasted", "recoverable", "$/month")
        shown = [*rows[:-1][:count], *rows[-1:]]
        cells = [
            [r.name, r.gpus, r.price.replace("$", ""), r.wasted, r.won, r.month.replace("$", "")]
            for r in shown
        ]
        more = len(rows) - len(shown)
        drawn = self.m.table([(name, "left" if name == "job" else "right") for name in heads], cells)
        left = self.m.paragraph(f"{more} more jobs are in the JSON.") if more else ""
        return self.m.heading(3, "By job") + drawn + left if rows else ""

    def _what_ifs(self) -> Part:
        """What fixes would buy: the first that gives way."""
        rows = whatifs.rows(self.d, self.m.style)
        if not rows:
            return Part(sizes=("", ""), lost=("",))
        heads: list[tuple[str, Align]] = [("GPU", "left"), ("fix", "left"), ("throughput", "right")]
        heads += [("$/h for today's work", "right"), ("basis", "left")]
        cells = [[r.name, f"{r.title} ({r.fix})", r.times, r.cost.replace("$", ""), r.basis] for r in rows]
        said = self.m.style.prose(whatifs.note(self.d))
        body = self.m.heading(3, whatifs.HEADING) + self.m.table(heads, cells) + self.m.paragraph(said)
        return Part(sizes=(body, ""), lost=("what fixes would buy",))

    def _serving(self) -> Part:
        """Inference engines on this node, as they describe themselves."""
        if not self.d.serving:
            return Part(sizes=("", ""), lost=("",))
        body = self.m.heading(3, "Serving")
        for made in self.d.serving[: serving.MAX_ENGINES]:
            lines = serving.lines(made, self.m.style)
            body += self.m.paragraph(self.m.bold(serving.heading(made, self.m.style)))
            body += self.m.bullets([f"{self.m.bold(what)} {text}" for what, text in lines])
        body += "".join(self.m.paragraph(line) for line in serving.left_out(self.d.serving))
        return Part(sizes=(body, ""), lost=("what inference engines say",))

    def _readings(self) -> Part:
        found = sources.readings(self.d, self.m.style)
        if not found:
            return Part(sizes=("", ""), lost=("",))
        heads = ("GPU", *_EVIDENCE_HEADS)
        cells = [[r.name, *_cells(r.evidence)] for r in found[:MAX_DEVICE_ROWS]]
        body = self.m.table([(name, "left") for name in heads], cells)
        if len(found) > MAX_DEVICE_ROWS:
            body += self.m.paragraph(f"{len(found) - MAX_DEVICE_ROWS} more lines are in the JSON.")
        return Part(
            sizes=(self.m.details("How each verdict was reached", body), ""),
            lost=("the evidence of verdicts",),
        )

    def _notes(self) -> Part:
        """What weakens the figures: missing data first, then validity flags."""
        missing = sources.unknowns(self.d, self.m.style)[:MAX_DEVICE_ROWS]
        lines = missing + sources.notes(self.d, self.m.style)
        if not lines:
            return Part(sizes=("", "", ""), lost=("", ""))
        head = self.m.heading(3, "Read this with care")
        few = [*lines[:4], *([f"{len(lines) - 4} more are in the JSON"] if len(lines) > 4 else [])]
        return Part(sizes=(head + self.m.bullets(lines), head + self.m.bullets(few), ""), lost=("", "notes"))

    def _provenance(self) -> Part:
        style, m = self.m.style, self.m
        facts = [[name, said] for name, said in sources.provenance(self.d, style)]
        devices = [
            [
                f"GPU {p.gpu}" + (f" MIG {style.text(p.mig, 60)}" if p.mig else ""),
                sources.device_facts(p, style),
            ]
            for p in self.d.provenance.devices[:MAX_DEVICE_ROWS]
        ]
        both = [m.table([("fact", "left"), ("value", "left")], rows) for rows in ([*facts, *devices], facts)]
        sizes = [m.details("Provenance", body) for body in both]
        return Part(sizes=(*sizes, ""), lost=("the provenance of each GPU", "provenance"))

    def _made(self) -> Part:
        """How to make this again, and what was taken out."""
        m, command = self.m, self.d.provenance.command
        again = m.paragraph(f"{m.bold('Reproduce')} on the node:") + m.block(command) if command else ""
        removed = sources.redactions(self.d, m.style)
        said = ", ".join(removed) if removed else "nothing"
        return Part(
            sizes=(again + m.paragraph(f"{m.bold('Redacted:')} {said}."), ""), lost=("how to reproduce",)
        )

    def _left_out(self, fitted: Fitted, unmade: int) -> str:
        counts = {"finding": fitted.left_out.get("finding", 0) + unmade}
        counts |= {what: count for what, count in fitted.left_out.items() if what != "finding"}
        said = [_counted(what, count) for what, count in counts.items() if what and count]
        if not said:
            return ""
        return self.m.paragraph(
            f"{self.m.bold('Left out')} to stay within {self.limit:,} characters: {', '.join(said)}. "
            "The JSON has them."
        )


def _steps(findings: int, critical: int) -> Iterator[tuple[int, int]]:
    """What gives way, in order, of parts that are the head, findings, devices, readings, notes, ..., traces.

    Findings stand most important first: all but a few go before anything else, critical ones last.
    """
    devices, readings, notes, provenance, made, what_ifs, engines, traced = range(1 + findings, 9 + findings)
    yield traced, 1
    yield what_ifs, 1
    yield engines, 1
    first = range(1, 1 + min(findings, max(KEPT_FINDINGS, critical)))
    urgent = range(1, 1 + min(findings, critical))
    yield from ((i, 2) for i in range(findings, len(first), -1))
    yield from ((i, 1) for i in reversed(first))
    yield from ((readings, 1), (provenance, 1), (devices, 1), (devices, 2), (notes, 1), (traced, 2))
    yield from ((i, 2) for i in range(len(first), len(urgent), -1))
    yield from ((devices, 3), (provenance, 2), (made, 1), (notes, 2))
    yield from ((i, 2) for i in reversed(urgent))


def _won(won: bills.Won | None) -> tuple[str, str]:
    return ("", "") if won is None else (won.who, won.amount)


def _cells(row: EvidenceRow) -> list[str]:
    return [row.metric, row.value, row.threshold, row.source]


def _counted(what: str, count: int) -> str:
    if what not in _PLURALS:
        return what
    return f"{count:,} {_PLURALS[what][count != 1]}"
