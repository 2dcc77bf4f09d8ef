"""One run of a calculator: its inputs found, its errors said, its result printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from advisor.cli import output
from advisor.cli.costs.conflicts import refuse_two_ways
from advisor.cli.costs.sources import Sources
from advisor.cli.diagnostics import CliError, ExitCode
from advisor.cli.inputs import load_config, read_document
from rules.calculators.calculation import Calculation, CalculationError
from rules.calculators.quantities import QUANTITIES

if TYPE_CHECKING:
    from advisor.cli.costs.observed import Seen

Calculator = Callable[..., Calculation]
# What a diagnosis may hold.
HELD = frozenset({"price_usd_h", "tok_s", "tokens_per_response"})
_OTHER = frozenset({"document", "gpu", "as_json", "model", "other_model"})


class Order:
    """What a command line asked for: its figures, and where to look for those it does not give."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        flags = {name: value for name, value in given.items() if name not in _OTHER}
        refuse_two_ways([name for name, value in flags.items() if value is not None])
        flags.pop("times_s", None)
        self.as_json = bool(given["as_json"])
        self.sources = Sources(flags, given, load_config(), _seen(given["document"], given["gpu"]))

    def work(
        self, calculator: Calculator, needs: Sequence[str], takes: Sequence[str] = (), **more: Any
    ) -> Calculation:
        """The calculation. CliError names the flags that would give what is missing, or what is wrong."""
        try:
            inputs = {name: self.sources.find(name) for name in (*needs, *takes)}
            _complain([name for name in needs if inputs[name] is None])
            done = calculator(**{name: item for name, item in inputs.items() if item is not None}, **more)
        except CalculationError as error:
            lacks = self.sources.lacks
            raise CliError(f"{error}; {lacks}" if lacks else str(error), error.fix) from error
        unused = [QUANTITIES[name].flag for name in self.sources.flags if name not in inputs]
        told = (f"Not used for this: {', '.join(unused)}.",) if unused else ()
        about = [note for item in done.inputs for note in self.sources.notes.get(item.name, ())]
        doubts = [text for item in done.inputs for text in self.sources.doubts(item)]
        return msgspec.structs.replace(
            done, notes=(*done.notes, *about), warnings=(*done.warnings, *doubts, *told)
        )

    def show(self, calculation: Calculation) -> int:
        """Print the result, as text or JSON."""
        from advisor.reports.calculations import as_text

        if self.as_json:
            output.write_record(calculation)
        else:
            text = as_text(calculation, output.columns())
            output.write(text if output.unicode() else _ascii(text))
        return ExitCode.OK


def _seen(document: str | None, gpu: str | None) -> Seen | None:
    """What a saved diagnosis knows; None where none is named."""
    if document is None:
        if gpu is not None:
            raise CliError(
                "--gpu chooses a GPU of a diagnosis", "give --from DIAGNOSIS.json too, or --model MODEL"
            )
        return None
    from advisor.cli.costs.observed import seen_in

    return seen_in(read_document(document), gpu)


def _complain(missing: Sequence[str]) -> None:
    """CliError for inputs that nobody knows."""
    if not missing:
        return
    names = ", ".join(f"{name} ({QUANTITIES[name].meaning})" for name in missing)
    flags = " and ".join(QUANTITIES[name].flag for name in missing)
    model = ", or --model MODEL" if "price_usd_h" in missing else ""
    held = ", or --from DIAGNOSIS.json" if HELD.intersection(missing) else ""
    raise CliError(f"not known: {names}", f"give {flags}{model}{held}")


def _ascii(text: str) -> str:
    from advisor.reports.escape import as_ascii

    return as_ascii(text.replace(" × ", " * "))
