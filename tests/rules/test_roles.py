"""Roles: one primary for each term, and pairs of rules that never speak of one device."""

from __future__ import annotations

from itertools import combinations, permutations

import msgspec
import pytest

from rules.engine import ranked
from rules.finding import Finding
from rules.registry import all_rules, get_rule
from rules.roles import APART, apart, assigned, grouped
from rules.verdict import Verdict
from tests.rules.contexts import make_context

CAUSES = {"A": ("a", "x"), "B": ("b",), "C": (), "D": ("d",)}


def made(
    code: str,
    share: float = 0.3,
    term: str | None = "inefficiency",
    severity: str = "low",
    key: str = "GPU-0",
) -> Finding:
    record = {"code": code, "title": code, "severity": severity, "gpu": 0, "key": key, "claim": "It is so."}
    return msgspec.convert(record | {"confidence": 0.9, "share": share, "term": term}, Finding)


def verdict(cause: str = "", secondary: str | None = None) -> Verdict:
    return make_context(verdict={"cause": cause, "secondary_cause": secondary}).verdict


def primaries(findings: list[Finding], said: Verdict) -> list[str]:
    return [f.code for f in assigned(findings, said, CAUSES) if f.role == "primary"]


@pytest.mark.parametrize(
    ("cause", "secondary", "first"),
    [("b", None, "B"), ("x", "b", "A"), ("other", "d", "D"), ("other", None, "A"), ("", "nothing", "A")],
)
def test_the_finding_of_the_verdicts_cause_leads_in_any_order(
    cause: str, secondary: str | None, first: str
) -> None:
    found = [made("A", 0.6), made("B", 0.2), made("C", 0.9), made("D", 0.1)]
    for order in permutations(found):
        assert primaries(list(order), verdict(cause, secondary)) == [first]


def test_a_lever_alone_leads_its_term() -> None:
    assert primaries([made("C")], verdict("b")) == ["C"]


def test_terms_are_apart_and_findings_without_one_stand_alone() -> None:
    found = [made("A", term="throttle"), made("B"), made("C", term=None), made("D", term=None)]
    assert primaries(found, verdict("b")) == ["A", "B", "C", "D"]


def test_what_contributes_comes_after_its_primary_whatever_its_dollars() -> None:
    lever = msgspec.structs.replace(made("C", 0.9), role="contributing", usd_h=9.0)
    cause, other = made("A", 0.2), made("D", 0.5, term="host_gap")
    fault = made("F", 0.0, term=None, severity="critical")
    assert [f.code for f in ranked([lever, cause, other, fault])] == ["F", "D", "A", "C"]


def test_groups_are_of_one_device_and_a_fault_is_never_small_print() -> None:
    fault = msgspec.structs.replace(made("F", severity="critical"), role="contributing")
    groups = grouped([made("A"), made("B", key="GPU-1"), fault])
    assert [[f.code for f in group] for group in groups] == [["A"], ["B"], ["F"]]


def test_pairs_that_stay_apart_name_rules_that_exist() -> None:
    codes = [rule.code for rule in all_rules()]
    for first, second, why in APART:
        assert why
        for word in (first, second):
            assert word in codes or (word.endswith("*") and any(c.startswith(word[:-1]) for c in codes))
    assert apart("CAP001", "IDLE001") == apart("IDLE001", "CAP001") != apart("IDLE001", "HOST001")


def test_rules_that_name_one_cause_of_one_term_stay_apart() -> None:
    """Else which of them leads would hang on their shares alone."""
    rules = [rule for rule in all_rules() if rule.causes and rule.distribution is None]
    for one, other in combinations(rules, 2):
        if not set(one.tiers) & set(other.tiers):
            continue  # nothing is looked at in both ways at once
        if one.term == other.term and set(one.causes) & set(other.causes):
            assert apart(one.code, other.code), f"{one.code} and {other.code}"


def test_every_cause_belongs_to_a_term() -> None:
    assert all(rule.term for rule in all_rules() if rule.causes)
    assert get_rule("HOST003").term == "host_gap"
