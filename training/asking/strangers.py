"""Strangers to ask a model about: those to report on, and others to fit and to prove something on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from datasets import Dataset

from closedbook.data.people.invented import ask_about
from closedbook.data.people.known import what_is_known
from closedbook.data.people.on_demand import BiographyDocuments
from closedbook.data.people.strangers import KINDS, invent_strangers
from closedbook.data.questions import entity_key
from closedbook.evaluation.files import read_bytes

FITTED = 250  # names of each kind that familiarity is fitted on
PROVING = 500  # of each kind that a promise about strangers is proven on
GIVEN = "given"  # the kind of those in a file


class Wanted(Protocol):
    """Which strangers are wanted: the flags of `KnowingArguments` that say it."""

    num_strangers: int | None
    strangers_file: str | None
    max_stranger_rate: float | None
    seed: int


@dataclass(frozen=True)
class Strangers:
    """Of whom and what there is no word in the corpus; nobody is in two of the three.

    Attributes:
        reported: questions by kind, for the report, without the recombined names, which are a group of their own.
        fitted: names that familiarity is fitted on.
        proving: questions to prove a promise about strangers on, by kind; empty where none is to be made.
    """

    reported: dict[str, Dataset] = field(default_factory=dict)
    fitted: list[str] = field(default_factory=list)
    proving: dict[str, Dataset] = field(default_factory=dict)


def gather_strangers(
    args: Wanted,
    documents: Dataset | BiographyDocuments,
    invented: Sequence[str],
    taken: Sequence[str],
    worded: Dataset,
) -> Strangers:
    """Invent them, each set apart from all before.

    Args:
        args: how many, from where, and the seed.
        documents: the corpus.
        invented: the recombined names that are reported on.
        taken: names and texts in which none may occur.
        worded: questions whose wordings are used.

    Raises:
        ValueError: for a file of strangers that the corpus names.
    """
    longest = max(map(len, worded["entity"][:]))
    others = [kind for kind in KINDS if kind != "recombined"]
    number = args.num_strangers or -(-len(invented) // 4)
    taken = [*taken, *invented]
    given = read_strangers(args.strangers_file, documents, taken) if args.strangers_file else []
    taken += given
    reported = invent_strangers(documents, number, seed=args.seed, taken=taken, kinds=others, longest=longest)
    taken += [name for names in reported.values() for name in names]
    fitted = invent_strangers(documents, FITTED, seed=args.seed + 1, taken=taken, longest=longest)
    taken += [name for names in fitted.values() for name in names]
    proving: dict[str, list[str]] = {}
    if args.max_stranger_rate is not None:
        proving = invent_strangers(documents, PROVING, seed=args.seed + 2, taken=taken, longest=longest)
    if given:
        reported[GIVEN] = given

    def ask(found: dict[str, list[str]]) -> dict[str, Dataset]:
        return {
            kind: ask_about(names, worded, answers=[], seed=args.seed) for kind, names in found.items() if names
        }

    return Strangers(ask(reported), [name for names in fitted.values() for name in names], ask(proving))


def read_strangers(path: str, documents: Dataset | BiographyDocuments, taken: Sequence[str] = ()) -> list[str]:
    """Names of a file, one a line; empty lines are skipped.

    Args:
        path: of the file.
        documents: the corpus.
        taken: names and texts of others who are asked about.

    Raises:
        ValueError: for a file without names, or with one that the corpus or a question has: who was read about
            is no stranger.
    """
    try:
        lines = read_bytes(Path(path)).decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"--strangers_file {path} is not UTF-8 ({error}): save it as that") from error
    names = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not names:
        raise ValueError(f"--strangers_file {path} has no names: write one a line")
    known = what_is_known(documents, taken)
    met = [name for name in names if entity_key(name) in known]
    if met:
        raise ValueError(
            f"--strangers_file {path}: the corpus or a question names {len(met)} of {len(names)}, such as "
            f"{met[0]!r}: who was read or asked about is no stranger, take them out"
        )
    return names
