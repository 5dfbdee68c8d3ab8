"""The model card that runs write: README.md of a model folder, and which evaluations it tells of.

A card that a person wrote or changed is theirs: it is recognised by its signature, and left alone. (Replacing
a whole run with `--overwrite` still clears the folder.) `model.push_to_hub` uploads weights and code but no
README.md: push the card with `ModelCard.load(path).push_to_hub(name)`, or upload the folder as a whole.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from closedbook.evaluation.environment import run_environment
from closedbook.evaluation.files import write_json_atomic, write_text_atomic
from closedbook.evaluation.reports.card.content import build_card
from closedbook.evaluation.reports.run import (
    KNOWING_FILE,
    KNOWING_PREDICTIONS,
    LEDGER_FILE,
    LEDGER_ROWS,
    read_knowing,
    read_ledger,
)
from closedbook.evaluation.results import Result
from closedbook.evaluation.run_record import RUN_FILE, Run, read_run, write_run

logger = logging.getLogger(__name__)

CARD_FILE = "README.md"
EVALUATIONS_FILE = "evaluations.json"
SIGNATURE = "\n<!-- Written by closedbook (sha256 {}). Once changed, it is yours: no run overwrites it. -->\n"
IDENTITY = ("task", "split", "seed")  # a second evaluation of the same replaces the first
NEEDED = (*IDENTITY, "protocol", "n", "correct", "accuracy", "interval")  # all that version 0.1 kept of a result


def record_run(folder: str | Path, run: Run) -> Run:
    """Write the record and the card of a folder whose weights were just saved; returns the record as written.

    Its last stage is completed by what it ran on and with. Evaluations recorded there were of other weights, and
    are forgotten.
    """
    run = run.with_last(**run_environment())
    write_run(folder, run)
    for name in (EVALUATIONS_FILE, KNOWING_FILE, KNOWING_PREDICTIONS, LEDGER_FILE, LEDGER_ROWS):
        (Path(folder) / name).unlink(missing_ok=True)
    write_card(folder)
    return run


def record_evaluation(folder: str | Path, result: Result) -> None:
    """Add a result of `make_result` to the folder of a run and refresh its card.

    Does nothing for a model without a run file, such as one named on the Hub. The result has its own file, so
    a folder that cannot be written to, or a damaged record, costs a warning and no more.
    """
    folder = Path(folder)
    if not (folder / RUN_FILE).is_file():
        return
    try:
        entries = {_identity(entry): entry for entry in read_evaluations(folder)}
        entries[_identity(result)] = result
        write_json_atomic(folder / EVALUATIONS_FILE, [entries[key] for key in sorted(entries)])
        write_card(folder)
    except (OSError, ValueError) as error:
        logger.warning("the model card in %s was not brought up to date: %s", folder, error)


def record_knowing(folder: str | Path) -> None:
    """Refresh the card of a folder into which scripts/knowing.py has written; what goes wrong costs a warning."""
    _refresh(folder)


def record_ledger(folder: str | Path) -> None:
    """Refresh the card of a folder into which scripts/ledger.py has written, likewise."""
    _refresh(folder)


def _refresh(folder: str | Path) -> None:
    if not (Path(folder) / RUN_FILE).is_file():
        return
    try:
        write_card(folder)
    except (OSError, ValueError) as error:
        logger.warning("the model card in %s was not brought up to date: %s", folder, error)


def _identity(entry: Mapping[str, Any]) -> tuple:
    return tuple(entry[name] for name in IDENTITY)


def read_evaluations(folder: str | Path) -> list[Result]:
    """The results recorded in a model folder; empty where there are none.

    Raises:
        ValueError: if the file is not what `record_evaluation` writes.
    """
    path = Path(folder) / EVALUATIONS_FILE
    if not path.exists():
        return []
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        sound = isinstance(entries, list) and all(set(NEEDED) <= set(entry) for entry in entries)
    except (ValueError, TypeError):
        sound = False
    if not sound:
        raise ValueError(f"{path} is damaged: remove it and evaluate again")
    return entries


def write_card(folder: str | Path) -> None:
    """Write README.md of a model folder with a run file, unless there is one that is a person's.

    Raises:
        OSError: if the folder cannot be written to.
        ValueError: if its record of evaluations, or of what the model knows, is damaged.
    """
    path = Path(folder) / CARD_FILE
    if path.exists() and not is_unchanged(path.read_text(encoding="utf-8", errors="replace")):
        logger.warning("%s is not as a run left it, so it was left alone; move it away to get a new one", path)
        return
    knowing = read_knowing(Path(folder) / KNOWING_FILE)
    ledger = read_ledger(Path(folder) / LEDGER_FILE)
    card = build_card(Path(folder).resolve(), read_run(folder), read_evaluations(folder), knowing, ledger)
    write_text_atomic(path, _signed(str(card).rstrip("\n") + "\n"))


def is_unchanged(card: str) -> bool:
    """Whether the text of a card is, to the letter, what `write_card` wrote."""
    opening, _ = SIGNATURE.split("{}")
    text, found, _ = card.rpartition(opening)
    return bool(found) and card == _signed(text)


def _signed(text: str) -> str:
    return text + SIGNATURE.format(hashlib.sha256(text.encode("utf-8", "replace")).hexdigest())
