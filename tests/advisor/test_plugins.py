"""Rules that other packages bring: they work, and what is wrong with one harms nothing else."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from advisor import plugins
from advisor.gate import GateError, parse_gate
from advisor.selection import SelectionError, parse_selection
from rules.registry import all_rules, get_rule, page, run_rules, sections
from tests.factories import make_diagnosis
from tests.rules.contexts import make_context, make_evidence

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "writing-rules.md"
Install = Callable[..., None]

RULE = '''
from rules.registry import finding, rule

@rule({code!r}, "A title", "low", "job"{more})
def check(ctx):
    """A page."""
    {body}
'''
SOUND = 'return finding(ctx, check, claim="So.", share=0.1, actions=("Do.",))'


def source(code: str, body: str = SOUND, more: str = "") -> str:
    return RULE.format(code=code, body=body, more=more)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a tiny package with one entry point on sys.path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    modules: list[str] = []

    def add(name: str, text: str, entry: str | None = None) -> None:
        module = name.replace("-", "_")
        modules.append(module)
        (tmp_path / f"{module}.py").write_text(text)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{name} = {entry or module}\n")
        importlib.invalidate_caches()

    plugins.forget()
    yield add
    plugins.forget()
    for module in modules:
        sys.modules.pop(module, None)


def guide(language: str) -> str:
    """The first block of the guide in this language."""
    found = re.search(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_guides_example_works_as_it_stands(install: Install) -> None:
    assert 'acme = "acme_rules"' in guide("toml")
    install("acme-advisor-rules", guide("python"), "acme_rules")
    Path(sys.path[0], "acme_rules.py").write_text(guide("python"))
    importlib.invalidate_caches()
    try:
        assert plugins.load() == plugins.Loaded(("ACME001",), ())
    finally:
        sys.modules.pop("acme_rules", None)
    rule = get_rule("ACME001")
    assert rule.distribution == "acme-advisor-rules"
    assert all(sections(rule).values())
    assert page("acme001").startswith("# ACME001 Large card")
    small, large = (
        make_context(make_evidence(mem_used_bytes=gib << 30), class_="compute") for gib in (2, 40)
    )
    found = next(f for f in run_rules(small) if f.code == "ACME001")
    assert (found.claim, found.role) == (
        "GPU 0 holds 2.0 GiB; the small cards have room for that.",
        "primary",
    )
    assert "ACME001" not in [f.code for f in run_rules(large)]
    assert parse_gate(("acme001",)).codes == {"ACME001"}
    assert parse_selection("ACME", "").keeps("ACME001")


@pytest.mark.parametrize("entry", ["one_dist", "one_dist:check", "one_dist:register"])
def test_an_entry_point_names_a_module_a_rule_or_a_function(install: Install, entry: str) -> None:
    install("one-dist", source("ACME001") + "\ndef register():\n    pass\n", entry)
    assert plugins.load().codes == ("ACME001",)


TWO = source("ACME001") + source("ACME002").replace("def check", "def second").replace(
    "ctx, check", "ctx, second"
)


@pytest.mark.parametrize("entry", ["one_dist:second", "one_dist"])
def test_two_entry_points_into_one_module_load_it_without_a_word(install: Install, entry: str) -> None:
    install("one-dist", TWO, f"one_dist:check\nother = {entry}")
    assert plugins.load() == plugins.Loaded(("ACME001", "ACME002"), ())


def test_a_rule_named_twice_is_told_of_once_where_something_is_wrong_with_it(install: Install) -> None:
    install("one-dist", source("acme1"), "one_dist:check\nother = one_dist:check")
    found = plugins.load()
    assert (found.codes, len(found.problems)) == ((), 1), found.problems


MADE = """
from rules.registry import Rule

def check(ctx):
    return None

made = Rule(code={code!r}, title="A", severity="low", owner="job", basis="fact", check=check, doc="A page.")
"""


@pytest.mark.parametrize(("code", "other"), [("ACME001", "one-dist"), ("HOST001", "advisor")])
def test_a_rule_made_by_hand_with_a_code_that_is_taken_is_an_error(
    install: Install, code: str, other: str
) -> None:
    install("one-dist", source("ACME001"))
    install("two-dist", MADE.format(code=code), "two_dist:made")
    with pytest.raises(plugins.PluginClashError, match=f"{code} is declared by both {other} and two-dist"):
        plugins.load()
    assert get_rule("HOST001").distribution is None


def test_advisors_own_rule_is_not_a_packages(install: Install) -> None:
    install("one-dist", "from rules.catalogue.host_inside import gil", "one_dist:gil")
    found = plugins.load()
    assert found.codes == ()
    assert "registers no rule" in found.problems[0]


def test_a_selection_loads_the_packages_only_when_it_needs_them(install: Install) -> None:
    install("one-dist", source("ACME001"))
    parse_selection("HOST", "MEM001")
    assert "ACME001" not in plugins.codes()
    assert parse_selection("ACME", "").select == ("ACME",)
    assert "ACME001" in plugins.codes()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_of_the_kind", "one-dist (one_dist) cannot be loaded: ModuleNotFoundError"),
        ("raise SystemExit(3)", "cannot be loaded: SystemExit: 3"),
        ("raise BaseException('out')", "cannot be loaded: BaseException: out"),
        ("x = 1", "registers no rule"),
        (source("HOST999"), "codes that begin with HOST are advisor's own"),
        (source("acme1"), "a code is 2 to 8 capital letters"),
        (source("ACME001").replace('"""A page."""', "pass"), "no docstring"),
        (source("ACME001").replace('"low"', '"grave"'), "a severity is one of critical"),
        (source("ACME001", more=', term="luck"'), "'luck' is no term"),
        (source("ACME001") + "\n1 / 0\n", "ZeroDivisionError"),
    ],
)
def test_what_cannot_be_loaded_is_a_warning_and_nothing_is_left_of_it(
    install: Install, text: str, said: str
) -> None:
    before = plugins.codes()
    install("one-dist", text)
    install("two-dist", source("FINE001"))
    found = plugins.load()
    assert found.codes == ("FINE001",)
    assert len(found.problems) == 1
    assert said in found.problems[0]
    assert set(plugins.codes()) == {*before, "FINE001"}


@pytest.mark.parametrize(("code", "other"), [("ACME001", "one-dist"), ("HOST003", "advisor")])
def test_a_code_that_two_claim_is_an_error_that_names_both(install: Install, code: str, other: str) -> None:
    install("one-dist", source("ACME001"))
    install("two-dist", source(code))
    with pytest.raises(
        plugins.PluginClashError, match=f"rule {code} is declared by both {other} and two-dist"
    ):
        plugins.load()
    assert get_rule("HOST003").distribution is None
    with pytest.raises(GateError, match="declared by both"):
        parse_gate(("ACME002",))
    with pytest.raises(SelectionError, match="declared by both"):
        parse_selection("ACME002", "")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 1 / 0", "ZeroDivisionError"),
        ("return 'text'", "it returned str, not a Finding"),
        ("import msgspec; return msgspec.structs.replace(" + SOUND[7:] + ", code='HOST003')", "HOST003"),
        (
            "import msgspec; return msgspec.structs.replace(" + SOUND[7:] + ", share=float('nan'))",
            "share nan",
        ),
        ("import msgspec; return msgspec.structs.replace(" + SOUND[7:] + ", claim=3)", "ValidationError"),
    ],
)
def test_a_rule_that_fails_is_told_of_and_the_others_speak(install: Install, body: str, said: str) -> None:
    install("one-dist", source("ACME001", body))
    plugins.load()
    found = [f.code for f in run_rules(make_context(class_="idle", free=1.0))]
    assert found == ["IDLE001"]
    flag = plugins.noted(make_diagnosis()).flags[-1]
    assert flag.code == "rule-failed"
    assert "ACME001 of one-dist" in flag.message
    assert said in flag.message


def test_a_packages_finding_may_lead_a_term_only_by_its_cause(install: Install) -> None:
    body = SOUND.replace("share=0.1", "share=0.99")
    install("one-dist", source("ACME001", body, ', term="idle_held"'))
    plugins.load()
    ctx = make_context(class_="idle", idle_held=0.9, verdict={"cause": "idle-held"})
    assert {f.code: f.role for f in run_rules(ctx)} == {"IDLE002": "primary", "ACME001": "contributing"}


def test_every_family_of_our_own_is_reserved() -> None:
    own = {rule.code.rstrip("0123456789") for rule in all_rules() if rule.distribution is None}
    assert own <= plugins.RESERVED


def test_all_is_forgotten_again(install: Install) -> None:
    install("one-dist", source("ACME001"))
    plugins.load()
    plugins.forget()
    assert all(rule.distribution is None for rule in all_rules())


@pytest.mark.parametrize("raised", ["SystemExit(0)", "GeneratorExit()", "BaseException('out')"])
def test_a_rule_that_ends_the_program_ends_itself_alone(install: Install, raised: str) -> None:
    install("acme-rules", source("ACME001", f"raise {raised}"))
    plugins.load()
    assert get_rule("ACME001").check(make_context(make_evidence())) is None
    (flag,) = plugins.noted(make_diagnosis()).flags[-1:]
    assert (flag.code, raised.split("(")[0] in flag.message) == ("rule-failed", True)


def test_ctrl_c_in_a_rule_is_ctrl_c(install: Install) -> None:
    install("acme-rules", source("ACME001", "raise KeyboardInterrupt"))
    plugins.load()
    with pytest.raises(KeyboardInterrupt):
        get_rule("ACME001").check(make_context(make_evidence()))


def test_what_a_package_prints_stays_out_of_the_document(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("acme-rules", "print('loading')\n" + source("ACME001", f"print('running'); {SOUND}"))
    assert plugins.load().codes == ("ACME001",)
    assert get_rule("ACME001").check(make_context(make_evidence())) is not None
    assert capsys.readouterr() == ("", "loading\nrunning\n")
