"""How often verdicts are right, on recordings whose truth is known.

    python -m benchmarks.accuracy [--json | --markdown] [--recordings DIR_OR_ARCHIVE]...
                                  [--only tuning|validation|all] [--no-ablations] [--fit] [-o FILE]

Recordings are folders that benchmarks.workloads.record makes, .tar.gz archives of them, or a raw
capture.tar.gz. Without --recordings: everything under benchmarks/results/ that a GPU produced; where there is
nothing, simulated recordings, which test the machinery and claim nothing.

Exit code: 0, or 2 where nothing can be scored.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.accuracy import report
from benchmarks.accuracy.corpus import Corpus, CorpusError, found_folders, read_corpus, real_alone
from benchmarks.accuracy.document import WHICH, Document, encode, make
from benchmarks.accuracy.run import known_rivals, replay_corpus

SEED = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run; returns the exit code."""
    args = _parser().parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="advisor-accuracy-") as scratch:
        try:
            corpus = find_corpus(args.recordings, Path(scratch))
            said = fitted(corpus, args.synthetic_too) if args.fit else scored(corpus, args)
        except CorpusError as error:
            print(f"accuracy: {error}", file=sys.stderr)
            return 2
    if args.out is None:
        sys.stdout.buffer.write(said)
        sys.stdout.flush()
    else:
        args.out.write_bytes(said)
    return 0


def find_corpus(given: Sequence[Path], scratch: Path) -> Corpus:
    """The recordings named, else those of GPUs that are filed, else simulated ones."""
    if given:
        return read_corpus(given, scratch)
    filed = _filed(scratch)
    if filed.recordings:
        return filed
    made = _simulated(scratch / "simulated")
    return msgspec.structs.replace(made, problems=(*filed.problems, *made.problems))


def _filed(scratch: Path) -> Corpus:
    corpora = [
        real_alone(read_corpus([path], scratch / f"filed-{i}")) for i, path in enumerate(found_folders())
    ]
    return Corpus(
        recordings=tuple(r for c in corpora for r in c.recordings),
        problems=tuple(p for c in corpora for p in c.problems),
        synthetic=False,
        skipped={name: why for c in corpora for name, why in c.skipped.items()},
    )


def _simulated(folder: Path) -> Corpus:
    from benchmarks.accuracy.simulated import make as simulate

    folder.mkdir(parents=True)
    simulate(folder, SEED)
    return read_corpus([folder], folder / "unpacked")


def scored(corpus: Corpus, args: argparse.Namespace) -> bytes:
    """The report asked for, of the whole corpus."""
    doc = score(corpus, args)
    if args.json:
        return encode(doc)
    return (report.as_markdown(doc) if args.markdown else report.text(doc)).encode()


def score(corpus: Corpus, args: argparse.Namespace) -> Document:
    """Replay and score. Raises CorpusError where no recording can be read, or their kinds are mixed."""
    replays, problems = replay_corpus(corpus, ablations=not args.no_ablations)
    if not replays:
        left_out = [f"{p.file}: {p.reason}" for p in (*corpus.problems, *problems)][:5]
        raise CorpusError("no recording can be scored" + "".join(f"\n  {line}" for line in left_out))
    if len({r.synthetic for r in replays}) > 1:
        raise CorpusError(
            "recordings whose streams are synthetic are filed as a GPU's: nothing is scored. They are "
            + ", ".join(r.recorded.truth.name for r in replays if r.synthetic)[:200]
        )
    return make(replays, corpus, problems, known_rivals(), args.only)


def fitted(corpus: Corpus, synthetic_too: bool) -> bytes:
    """What `--fit` prints."""
    from benchmarks.accuracy.fit import fit

    return fit(corpus, synthetic_too=synthetic_too).encode()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print the whole document as JSON")
    shape.add_argument("--markdown", action="store_true", help="print results for docs/accuracy.md")
    parser.add_argument("--recordings", action="append", type=Path, default=[], metavar="DIR_OR_ARCHIVE")
    parser.add_argument("--only", choices=WHICH, default="validation", help="part of the headline figures")
    parser.add_argument("--no-ablations", action="store_true", help="leave the ablations out")
    parser.add_argument("--fit", action="store_true", help="thresholds and calibration from the tuning part")
    parser.add_argument("--synthetic-too", action="store_true", help="let --fit run on synthetic recordings")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="write to a file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
