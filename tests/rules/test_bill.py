"""Bills: a ladder's terms sum to the price of every GPU, job and node, in dollars and in displayed cents."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.bills import Amount, Statement, statement, with_bills
from advisor.document import Diagnosis
from rules.bill import Bill, bills, wasted_share
from rules.cents import HOURS, Horizon
from rules.economics import divide
from rules.evidence import Workload
from rules.finding import TERMS, Effect, Finding, LadderRow, Price
from rules.ladder import NOT_WASTED, priced_row
from rules.recover import BOUND
from rules.verdict import Verdict
from tests.factories import fill, make_diagnosis, make_effect, make_finding, make_verdict, make_workload

HORIZONS: tuple[Horizon, ...] = get_args(Horizon)

prices = st.none() | st.floats(0.01, 10_000.0)
weights = st.lists(st.just(0.0) | st.floats(0.0, 1.0), min_size=len(TERMS), max_size=len(TERMS))
shares = weights.filter(lambda v: sum(v) > 1e-6).map(
    lambda v: {term: value / math.fsum(v) for term, value in zip(TERMS, v, strict=True)}
)
# One GPU as a whole, or the sevenths of its MIG instances.
layouts = st.sampled_from([(7,), (7,), (1,) * 7, (4, 3), (3, 3, 1), (2, 1)])
workloads = st.none() | st.builds(
    Workload,
    pid=st.integers(1, 3),
    name=st.sampled_from(["a.py", "b.py"]),
    job=st.sampled_from([None, "slurm:1", "slurm:2", "pod:x"]),
    others=st.integers(0, 1),
)
effects = st.none() | st.tuples(st.floats(0.5, 20.0), st.floats(0.5, 20.0)).map(
    lambda pair: Effect(low=min(pair), high=max(pair), basis="made up")
)


@st.composite
def findings_on(draw: st.DrawFn, row: LadderRow) -> list[Finding]:
    """Up to three findings on a row, of any term, effect and role."""
    return [
        make_finding(
            draw(st.sampled_from(["HOST003", "MEM001", "DEV002"])),
            gpu=row.gpu,
            key=row.key,
            mig=row.mig,
            term=draw(st.sampled_from([None, *TERMS])),
            effect=draw(effects),
            role=draw(st.sampled_from(["primary", "contributing"])),
            owner=draw(st.sampled_from(["job", "fleet"])),
            recoverable=draw(st.none() | st.floats(0.0, 1.0)),
            usd_h=draw(st.none() | st.floats(0.0, 100.0)),
        )
        for _ in range(draw(st.integers(0, 3)))
    ]


@st.composite
def documents(draw: st.DrawFn) -> Diagnosis:
    """A node of up to six GPUs, some split by MIG, each with its price, jobs and findings."""
    rows: list[LadderRow] = []
    verdicts: list[Verdict] = []
    found: list[Finding] = []
    for gpu in range(draw(st.integers(1, 6))):
        price = Price(usd_h=draw(prices), basis="user", source="made up")
        for place, sevenths in enumerate(draw(layouts)):
            mig = None if sevenths == 7 else f"{sevenths}g/{place}"
            verdict = make_verdict("host", gpu=gpu, mig=mig, workload=draw(workloads))
            row = priced_row(verdict.key, gpu, mig, draw(shares), price, sevenths / 7)
            rows.append(row)
            verdicts.append(verdict)
            found += draw(findings_on(row))
    return make_diagnosis(verdicts=verdicts, ladder=tuple(rows), findings=found)


def scoped(document: Diagnosis, *scopes: str) -> list[Bill]:
    return [b for b in with_bills(document).bills if b.scope in scopes]


@settings(max_examples=60)
@given(documents())
def test_every_bill_sums_to_its_price_and_its_shares_to_one(document: Diagnosis) -> None:
    for bill in with_bills(document).bills:
        assert math.fsum(bill.shares.values()) == pytest.approx(1.0, abs=1e-9)
        if bill.terms is None:
            assert bill.price_usd_h is None and bill.wasted_usd_h is None and bill.unpriced
            continue
        assert tuple(bill.terms) == TERMS and bill.price_usd_h is not None
        assert math.fsum(bill.terms.values()) == pytest.approx(bill.price_usd_h, abs=1e-9)
        spent = math.fsum(usd_h for term, usd_h in bill.terms.items() if term not in NOT_WASTED)
        assert bill.wasted_usd_h == pytest.approx(spent, abs=1e-9)


@settings(max_examples=60)
@given(documents())
def test_the_node_is_the_sum_of_its_gpus_and_of_its_jobs_with_the_fleet(document: Diagnosis) -> None:
    (node,) = scoped(document, "node")
    for parts in (scoped(document, "gpu"), scoped(document, "job", "fleet")):
        assert math.fsum(b.price_usd_h or 0.0 for b in parts) == pytest.approx(
            node.price_usd_h or 0.0, abs=1e-7
        )
        for term in TERMS:
            part = math.fsum((b.terms or {}).get(term, 0.0) for b in parts)
            assert part == pytest.approx((node.terms or {}).get(term, 0.0), abs=1e-7)


@settings(max_examples=60)
@given(documents())
def test_what_is_recoverable_is_at_most_what_is_wasted(document: Diagnosis) -> None:
    for bill in with_bills(document).bills:
        for r in bill.recoverable:
            assert 0.0 <= r.share_low <= r.share_high and r.term not in NOT_WASTED
            assert (r.usd_h_low is None) == (bill.terms is None)
        for term in TERMS:
            mine = [r for r in bill.recoverable if r.term == term]
            assert math.fsum(r.share_high for r in mine) <= bill.shares[term] + 1e-9
            assert math.fsum(r.usd_h_high or 0.0 for r in mine) <= (bill.terms or {}).get(term, 0.0) + 1e-7
        assert math.fsum(r.share_high for r in bill.recoverable) <= wasted_share(bill) + 1e-9
        if bill.terms is not None:
            low, high = bill.recoverable_usd_h_low, bill.recoverable_usd_h_high
            assert low is not None and high is not None and bill.wasted_usd_h is not None
            assert 0.0 <= low <= high <= bill.wasted_usd_h + 1e-7


def said(document: Diagnosis, horizon: Horizon) -> Statement:
    shown = statement(document, horizon)
    assert shown is not None
    return shown


def same_cents(whole: Amount, parts: tuple[Amount, ...]) -> None:
    """The parts' cells are the whole's, term by term."""
    for term in TERMS:
        for which in ("costs", "low", "high"):
            cells = [(getattr(part, which) or {}).get(term, 0) for part in parts]
            assert sum(cells) == (getattr(whole, which) or {}).get(term, 0), (term, which)


@settings(max_examples=60)
@given(documents(), st.sampled_from(HORIZONS))
def test_displayed_cents_sum_in_every_view(document: Diagnosis, horizon: Horizon) -> None:
    shown = said(document, horizon)
    same_cents(shown.node, shown.gpus)
    same_cents(shown.node, shown.jobs)
    exact = math.fsum(row.price_usd_h or 0.0 for row in document.ladder) * HOURS[horizon] * 100
    assert abs((shown.node.price or 0) - exact) <= 0.5 + 1e-3
    for amount in (*shown.gpus, *shown.jobs, shown.node):
        if amount.costs is None:
            assert (amount.price, amount.wasted, amount.won_back) == (None, None, None)
            continue
        assert amount.won_back is not None and amount.wasted is not None
        assert amount.won_back[0] <= amount.won_back[1] <= amount.wasted <= (amount.price or 0)
        for term, cents in amount.costs.items():
            assert 0 <= amount.low[term] <= amount.high[term] <= cents


@settings(max_examples=60)
@given(documents(), st.sampled_from(HORIZONS))
def test_no_displayed_cell_is_a_cent_off(document: Diagnosis, horizon: Horizon) -> None:
    """A whole GPU's price is off by less than a cent, each of its terms by less than two: a price of whole
    cents is shown as it is."""
    shown = said(document, horizon)
    for amount in shown.gpus:
        if amount.costs is None or len(amount.bill.rows) > 1:
            continue
        assert amount.bill.price_usd_h is not None and amount.bill.terms is not None
        scale = HOURS[horizon] * 100
        assert abs((amount.price or 0) - amount.bill.price_usd_h * scale) < 1.0 + 1e-3
        for term, cents in amount.costs.items():
            assert abs(cents - amount.bill.terms[term] * scale) < 2.0 + 1e-3
            assert amount.bill.terms[term] or not cents


@settings(max_examples=60)
@given(documents())
def test_a_longer_horizon_is_the_hour_times_its_hours(document: Diagnosis) -> None:
    hour = said(document, "hour").node.price
    for horizon in HORIZONS:
        longer = said(document, horizon).node.price
        assert (longer is None) == (hour is None)
        if hour is not None and longer is not None:
            assert abs(longer - hour * HOURS[horizon]) <= HOURS[horizon] / 2 + 1


@given(st.lists(st.floats(0.0, 1e6), max_size=12), st.integers(0, 10**9))
def test_dividing_gives_away_every_cent(parts: list[float], whole: int) -> None:
    given_ = divide(parts, whole)
    assert sum(given_) == (whole if math.fsum(parts) > 0 else 0)
    assert all(cents == 0 for cents, part in zip(given_, parts, strict=True) if part == 0.0)


def test_two_gpus_in_sevenths_cost_the_same() -> None:
    """Cents left over stay within their GPU: 14 slices of $0.982857 are two GPUs of $6.88."""
    price = Price(usd_h=6.88, basis="user", source="made up")
    rows = tuple(
        priced_row(f"{gpu}-{i}", gpu, f"1g/{i}", fill(TERMS, {"useful": 1.0}), price, 1 / 7)
        for gpu in range(2)
        for i in range(7)
    )
    shown = said(make_diagnosis(verdicts=[], ladder=rows, findings=[]), "hour")
    assert [gpu.price for gpu in shown.gpus] == [688, 688]


def test_the_worked_ladder_of_an_h100() -> None:
    """$6.88: 10 % free, 15 % held, 75 % active; of that 0.8 busy, DRAM at 0.46 of 0.92."""
    active, busy, roof = 0.75, 0.8, 0.46 / 0.92
    parts = {"free": 0.1, "idle_held": 0.15, "host_gap": active * (1 - busy)}
    parts |= {"inefficiency": active * (busy - roof), "useful": active * roof}
    row = priced_row("g", 0, None, fill(TERMS, parts), Price(usd_h=6.88, basis="user", source="made up"), 1.0)
    verdict = make_verdict("host", key="g", workload=make_workload(job="slurm:7"))
    document = with_bills(make_diagnosis(verdicts=[verdict], ladder=(row,), findings=[]))
    by_scope = {b.scope: b for b in document.bills}
    expected = {"free": 0.688, "idle_held": 1.032, "host_gap": 1.032, "inefficiency": 1.548, "useful": 2.580}
    assert by_scope["node"].terms == pytest.approx(fill(TERMS, expected))
    assert by_scope["fleet"].price_usd_h == pytest.approx(0.688)
    assert by_scope["job"].price_usd_h == pytest.approx(6.88 - 0.688)
    node = said(document, "hour").node
    assert node.costs == fill_cents(free=69, idle_held=103, host_gap=103, inefficiency=155, useful=258)
    month = said(document, "month").node
    assert month.price == 688 * 730


def fill_cents(**values: int) -> dict[str, int]:
    return {term: values.get(term, 0) for term in TERMS}


def one(verdict: Verdict, **parts: float) -> tuple[LadderRow, Verdict]:
    price = Price(usd_h=10.0, basis="user", source="made up")
    return priced_row(verdict.key, verdict.gpu, verdict.mig, fill(TERMS, parts), price, 1.0), verdict


def billed(*pairs: tuple[LadderRow, Verdict], findings: tuple[Finding, ...] = ()) -> dict[str, Bill]:
    made = bills([row for row, _ in pairs], [verdict for _, verdict in pairs], findings)
    return {bill.name: bill for bill in made}


def test_rows_of_one_job_are_one_bill_and_a_process_without_a_job_is_its_own() -> None:
    job = make_workload(job="slurm:1")
    alone: dict[str, Any] = {"job": None, "name": "x.py"}
    found = billed(
        one(make_verdict(gpu=0, workload=job), useful=1.0),
        one(make_verdict(gpu=1, workload=make_workload(pid=2, job="slurm:1", others=2)), host_gap=1.0),
        one(make_verdict(gpu=2, workload=make_workload(pid=3, **alone)), useful=1.0),
        one(make_verdict(gpu=3, workload=make_workload(pid=4, **alone)), useful=1.0),
        one(make_verdict("idle", gpu=4, workload=None), free=1.0),
    )
    assert found["slurm:1"].price_usd_h == 20.0 and len(found["slurm:1"].rows) == 2
    assert found["slurm:1"].shared == 1 and found["slurm:1"].program == "train_vit.py"
    assert found["x.py (pid 3)"].price_usd_h == found["x.py (pid 4)"].price_usd_h == 10.0
    assert found["fleet"].price_usd_h == 10.0
    assert found["node"].price_usd_h == 50.0


def test_a_row_whose_process_nobody_can_name_is_the_fleets() -> None:
    found = billed(one(make_verdict("unknown", workload=None), unknown=0.5, idle_held=0.5))
    assert found["fleet"].price_usd_h == 10.0 and found["fleet"].scope == "fleet"
    assert not [bill for bill in found.values() if bill.scope == "job"]


def test_no_ladder_means_no_bills() -> None:
    assert bills((), (), ()) == ()
    assert statement(make_diagnosis(verdicts=[])) is None


def test_instances_without_a_price_weigh_what_they_are_of_their_gpu() -> None:
    free = Price(usd_h=None, basis="none", source="no price")
    rows = [
        priced_row("a", 0, "6g/0", fill(TERMS, {"useful": 1.0}), free, 6 / 7),
        priced_row("b", 0, "1g/1", fill(TERMS, {"free": 1.0}), free, 1 / 7),
    ]
    gpu = bills(rows, (), ())[0]
    assert gpu.shares["useful"] == pytest.approx(6 / 7) and gpu.unpriced == 2


def test_a_row_without_a_price_is_left_out_where_another_has_one() -> None:
    none = Price(usd_h=None, basis="none", source="no price")
    priced, _ = one(make_verdict(gpu=0), useful=1.0)
    unpriced = priced_row("b", 1, None, fill(TERMS, {"free": 1.0}), none, 1.0)
    node = bills([priced, unpriced], (), ())[-1]
    assert node.shares["useful"] == 1.0 and node.unpriced == 1 and node.price_usd_h == 10.0


def test_a_damaged_row_is_rounded_term_by_term() -> None:
    row, verdict = one(make_verdict(), useful=0.5, free=0.5)
    odd = make_diagnosis(
        verdicts=[verdict], ladder=(LadderRow(**{**_fields(row), "price_usd_h": 3.0}),), findings=[]
    )
    assert said(odd, "hour").node.costs == fill_cents(free=500, useful=500)


def _fields(row: LadderRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__}


# --- recoverable -------------------------------------------------------------------------------------------


def won(bill: Bill, term: str) -> tuple[float, float, str, str]:
    found = next(r for r in bill.recoverable if r.term == term)
    return round(found.share_low, 3), round(found.share_high, 3), found.owner, found.because


def test_free_time_is_recoverable_whole_and_held_time_from_nothing_to_all() -> None:
    found = billed(one(make_verdict(), free=0.25, idle_held=0.25, useful=0.5))
    assert won(found["GPU 0"], "free")[:3] == (0.25, 0.25, "fleet")
    assert won(found["GPU 0"], "idle_held")[:3] == (0.0, 0.25, "job")
    assert [r.basis for r in found["GPU 0"].recoverable] == ["fact", "bound"]
    assert (found["GPU 0"].recoverable_usd_h_low, found["GPU 0"].recoverable_usd_h_high) == (2.5, 5.0)


def test_a_finding_with_an_effect_on_held_time_speaks_first() -> None:
    pauses = make_finding("HOST016", term="idle_held", effect=make_effect(1.0, 1.25), usd_h=None)
    bill = billed(one(make_verdict(), idle_held=0.3, useful=0.7), findings=(pauses,))["GPU 0"]
    assert won(bill, "idle_held")[::2] == (0.0, "job")
    assert won(bill, "idle_held")[1] == pytest.approx(0.2)
    named = make_finding("IDLE003", term="idle_held", effect=None, usd_h=None)
    bill = billed(one(make_verdict(), idle_held=0.3, useful=0.7), findings=(named,))["GPU 0"]
    assert won(bill, "idle_held")[:2] == (0.0, 0.3)


def test_a_finding_that_counts_on_nothing_wins_nothing_back() -> None:
    """Documents without `recoverable` say it in dollars, and $0 is not "unknown"."""
    nothing = make_finding(effect=make_effect(1.5, 4.0), usd_h=0.0)
    bill = billed(one(make_verdict(), host_gap=0.5, useful=0.5), findings=(nothing,))["GPU 0"]
    assert won(bill, "host_gap")[:2] == (0.0, 0.0)


def test_a_gap_is_recoverable_by_what_the_findings_effect_allows() -> None:
    """1.25x to 2x throughput: the same work for a fifth to a half less."""
    finding = make_finding(effect=make_effect(1.25, 2.0), usd_h=None)
    found = billed(one(make_verdict(), host_gap=0.6, useful=0.4), findings=(finding,))
    assert won(found["GPU 0"], "host_gap") == (0.2, 0.5, "job", "HOST003")
    assert found["GPU 0"].recoverable_usd_h_low == pytest.approx(2.0)
    assert found["GPU 0"].wasted_usd_h == pytest.approx(6.0)


def test_a_fix_never_wins_back_more_than_the_term_or_than_the_finding_counts_on() -> None:
    beyond = make_finding(effect=make_effect(4.0, 10.0), usd_h=None)
    row = one(make_verdict(), host_gap=0.3, useful=0.7)
    assert won(billed(row, findings=(beyond,))["GPU 0"], "host_gap")[:2] == (0.3, 0.3)
    less = make_finding(effect=make_effect(4.0, 10.0), recoverable=0.1)
    assert won(billed(row, findings=(less,))["GPU 0"], "host_gap")[:2] == (0.1, 0.1)
    old = make_finding(effect=make_effect(4.0, 10.0), usd_h=2.0)
    assert won(billed(row, findings=(old,))["GPU 0"], "host_gap")[:2] == (0.2, 0.2)


def test_several_fixes_of_one_term_do_not_add_up() -> None:
    first = make_finding(effect=make_effect(1.1, 1.25), usd_h=None)
    other = make_finding("HOST004", effect=make_effect(1.5, 1.6), usd_h=None, role="contributing")
    found = billed(one(make_verdict(), host_gap=0.6, useful=0.4), findings=(other, first))
    assert won(found["GPU 0"], "host_gap")[1:] == (0.2, "job", "HOST003")


def test_a_fix_that_may_be_slower_wins_back_nothing_at_least() -> None:
    finding = make_finding("MEM001", effect=make_effect(0.9, 1.25), usd_h=None)
    found = billed(one(make_verdict(), inefficiency=0.5, useful=0.5), findings=(finding,))
    assert won(found["GPU 0"], "inefficiency")[:2] == (0.0, 0.2)
    slower = make_finding("MEM001", effect=make_effect(0.8, 0.9), usd_h=None)
    found = billed(one(make_verdict(), inefficiency=0.5, useful=0.5), findings=(slower,))
    assert won(found["GPU 0"], "inefficiency")[:2] == (0.0, 0.0)


@pytest.mark.parametrize(
    ("term", "owner", "words"),
    [
        ("communication", "job", "no finding"),
        ("throttle", "fleet", "neither a lowered limit nor heat"),
        ("inefficiency", "job", "not yet a fix"),
    ],
)
def test_what_no_finding_speaks_of_is_wasted_and_not_known_to_be_recoverable(
    term: str, owner: str, words: str
) -> None:
    bill = billed(one(make_verdict(), **{term: 0.5, "useful": 0.5}))["GPU 0"]
    low, high, who, because = won(bill, term)
    assert (low, high, who) == (0.0, 0.0, owner) and words in because
    assert bill.recoverable[0].basis == "none" and bill.wasted_usd_h == 5.0


def test_a_cause_without_an_effect_says_so() -> None:
    finding = make_finding("COMP001", effect=None, usd_h=1.0)
    bill = billed(one(make_verdict(), inefficiency=0.5, useful=0.5), findings=(finding,))["GPU 0"]
    assert won(bill, "inefficiency")[1] == 0.0
    assert bill.recoverable[0].because.startswith("COMP001 names the cause")


def test_a_lowered_limit_is_the_fleets_to_raise() -> None:
    finding = make_finding("DEV002", effect=make_effect(1.1, 1.25), owner="fleet", usd_h=None)
    bill = billed(one(make_verdict(), throttle=0.3, useful=0.7), findings=(finding,))["GPU 0"]
    assert won(bill, "throttle")[1:] == (0.2, "fleet", "DEV002")


def test_on_a_node_what_each_owner_could_win_back_stands_apart() -> None:
    mine = make_finding(gpu=0, effect=make_effect(1.25, 1.25), usd_h=None)
    theirs = make_finding("HOST006", gpu=1, effect=make_effect(2.0, 2.0), usd_h=None, owner="fleet")
    pairs = [one(make_verdict(gpu=gpu), host_gap=0.5, useful=0.5) for gpu in range(3)]
    node = billed(*pairs, findings=(mine, theirs))["node"]
    assert [(r.owner, r.because) for r in node.recoverable] == [
        ("fleet", "HOST006"),
        ("job", f"{BOUND}, HOST003"),
    ]
    assert [r.usd_h_high for r in node.recoverable] == pytest.approx([5.0, 7.0])
    assert [r.usd_h_low for r in node.recoverable] == pytest.approx([5.0, 2.0])


def gap_of(gap: float, cause: str = "unexplained") -> tuple[float, float, str, str]:
    """What of a gap without a finding could be won back."""
    pair = one(make_verdict(cause=cause), host_gap=gap, useful=1.0 - gap)
    bill = billed(pair)["GPU 0"]
    return (*won(bill, "host_gap")[:2], bill.recoverable[0].basis, bill.recoverable[0].because)


def test_a_gap_that_no_finding_names_has_the_bound_of_the_what_if_and_no_low_end() -> None:
    assert gap_of(0.3) == (0.0, 0.3, "bound", BOUND)


@pytest.mark.parametrize(("gap", "cause"), [(0.3, "no-demand"), (0.01, "unexplained"), (0.97, "unexplained")])
def test_a_gap_that_no_fix_is_spoken_of_wins_back_nothing(gap: float, cause: str) -> None:
    assert gap_of(gap, cause)[:3] == (0.0, 0.0, "none")


def test_reasons_come_largest_first_and_those_worth_nothing_not_at_all() -> None:
    nothing = make_finding("COMP005", gpu=0, effect=make_effect(1.0, 1.0), term="inefficiency")
    less = make_finding("MEM002", gpu=1, effect=make_effect(1.0, 1.1), usd_h=None, term="inefficiency")
    more = make_finding("MEM001", gpu=2, effect=make_effect(1.0, 1.4), usd_h=None, term="inefficiency")
    pairs = [one(make_verdict(gpu=gpu), inefficiency=0.5, useful=0.5) for gpu in range(3)]
    node = billed(*pairs, findings=(nothing, less, more))["node"]
    assert [r.because for r in node.recoverable] == ["MEM001, MEM002"]


def test_a_term_of_floating_point_dust_has_nothing_to_win_back() -> None:
    finding = make_finding("COMP005", effect=make_effect(1.0, 1.4), term="inefficiency")
    assert not billed(one(make_verdict(), inefficiency=2.2e-16, useful=1.0), findings=(finding,))[
        "GPU 0"
    ].recoverable


def test_equal_amounts_show_equal_cents() -> None:
    """A whole term that is recoverable has the term's cents, whichever way those were rounded."""
    finding = make_finding(effect=make_effect(1.0, 5.0), recoverable=0.184)
    verdict = make_verdict()
    price = Price(usd_h=1.0, basis="user", source="made up")
    parts = {"host_gap": 0.184, "inefficiency": 0.272, "useful": 0.544}
    row = priced_row(verdict.key, 0, None, fill(TERMS, parts), price, 1.0)
    for horizon in HORIZONS:
        node = said(make_diagnosis(verdicts=[verdict], ladder=(row,), findings=[finding]), horizon).node
        assert node.costs is not None and node.high["host_gap"] == node.costs["host_gap"] > 0


def test_without_a_price_there_are_shares_alone() -> None:
    row = priced_row(
        "g", 0, None, fill(TERMS, {"free": 1.0}), Price(usd_h=None, basis="none", source=""), 1.0
    )
    node = bills([row], (), ())[-1]
    assert node.recoverable[0].share_high == 1.0 and node.recoverable[0].usd_h_high is None
    assert node.recoverable_usd_h_high is None
