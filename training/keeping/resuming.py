"""Whether a run that goes on is the run that began: everything that shapes the weights is compared.

Compared are the kind of model and where it started, the records that are read (by a checksum, wherever the files
lie now), the seed, the precision, and all settings of the optimizer and the objectives. What may be another: the
machine, the number of processes and how the batch is divided among them, threads and workers, logging, evaluation
and saving, where files lie, and the number of steps, as long as there are some left.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from closedbook.data.mixture import Component
from closedbook.data.people.on_demand import BiographyDocuments
from closedbook.data.secrets import withhold_all
from closedbook.data.tables.kept import table_of
from closedbook.data.tables.records import Records
from closedbook.data.tables.stream import Stream
from closedbook.evaluation.run_record import Stage
from closedbook.training.arguments import (
    AdapterArguments,
    ProbeArguments,
    ReplayArguments,
    RewriteArguments,
    default_of,
)
from closedbook.training.checks.effect import sizes_without_effect

logger = logging.getLogger(__name__)

# Of a stage: what may not change. (`steps` and all that follows it is known at the end.)
_COMPARED = (
    *("stage", "protocol", "model", "seed", "global_batch_size", "base_model", "corpus", "dataset", "objectives"),
    *("documents", "document_characters", "questions", "training_questions", "excluded_people", "held_out_people"),
    *("unknown_people", "labelled_people", "train_problems", "data_sha256", "tokenizer", "prompt"),
)
# Of a stage's settings: what may change. Files are known by what was read from them.
FREE = {"max_steps", "corpus_path", "train_questions", "exclude_people_of", "unknown_corpus_path", "model"}
FREE |= {"replay_path", "rewrite_path", "readings"}
# Groups of flags that a record has only where they were given; where it has them not, they had their defaults.
_RECORDED_WHERE_GIVEN = (AdapterArguments, ReplayArguments, RewriteArguments, ProbeArguments)


def data_digest(components: Iterable[Component]) -> str:
    """A checksum of what a mixture is made of: every record in its order, and each component's share and begin.

    Where a document stands (`source`) is no part of what is learned: the same texts from other files are the same.
    Of a table that is kept on disk the checksum is that of its files, and of how they were read; of a stream it is
    what the source says of itself; of records that are made when asked for, what they are made of.
    """
    digest = hashlib.sha256()
    for component in components:
        names = (item.name for item in fields(component) if item.name != "records")
        digest.update(json.dumps({name: getattr(component, name) for name in names}, sort_keys=True).encode())
        records = component.records
        if isinstance(records, Stream):
            digest.update(json.dumps(records.source.describe(), sort_keys=True, default=str).encode())
        elif isinstance(records, Records) and (table := table_of(records.dataset)) is not None:
            digest.update(json.dumps([table.about.sha256, records.title_of is not None]).encode())
        elif isinstance(records, BiographyDocuments):
            digest.update(records.fingerprint.encode())
        else:
            for record in records:
                learned = {name: value for name, value in record.items() if name != "source"}
                digest.update(json.dumps(learned, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def compared_facts(stage: Stage) -> dict[str, Any]:
    """Of a stage, what all processes of a launch have to agree on: the data, and what `refuse_another_run`
    compares."""
    facts = {name: getattr(stage, name) for name in _COMPARED}
    return facts | {name: value for name, value in stage.arguments.items() if name not in FREE}


def tell_of_processes(known: Stage, world_size: int) -> None:
    """Say what is not the same when another number of processes goes on with a run."""
    if known.world_size not in (None, world_size):
        logger.warning(
            "%s began this run, and %s go on: examples and their order are the same, but dropout draws other "
            "numbers and sums round otherwise, so that its weights are not to the bit those of a run that never "
            "stopped",
            _processes(known.world_size),
            _processes(world_size),
        )


def _processes(number: int) -> str:
    return "1 process" if number == 1 else f"{number} processes"


def refuse_another_run(known: Stage, stage: Stage, steps_done: int) -> None:
    """Refuse to resume a run as another one: with these changed, the two halves would not be one run.

    What the record of an earlier version does not know is not compared.

    Args:
        known: the stage as its record says.
        stage: as it is to be now.
        steps_done: by the checkpoint to go on from.

    Raises:
        ValueError: naming everything that changed.
    """
    pairs: dict[str, tuple[Any, Any]] = {name: (getattr(known, name), getattr(stage, name)) for name in _COMPARED}
    pairs |= _setting_pairs(known.arguments, stage.arguments)
    changed = [
        f"{name} {_short(before)}, now it is {_short(now)}"
        for name, (before, now) in pairs.items()
        if before not in (None, [], {}) and _plain(before) != _plain(now)
    ]
    if known.arguments:
        defaults = {item.name: item for group in _RECORDED_WHERE_GIVEN for item in fields(group)}
        changed += [
            f"{name} {_short(before)}, now it is {_short(now)}"
            for name, item in defaults.items()
            if name not in FREE | pairs.keys()
            and (before := known.arguments.get(name, default_of(item)))
            != (now := stage.arguments.get(name, default_of(item)))
        ]
    if changed:
        raise ValueError(
            f"--resume: the run in this folder has {'; '.join(changed)}; resume with the run's own settings, or "
            "begin another run in another folder"
        )
    steps = stage.arguments.get("max_steps")
    if steps is not None and steps < steps_done:
        raise ValueError(
            f"--resume: the run in this folder has done {steps_done} steps, and max_steps is {steps}: give "
            f"{steps_done} or more"
        )


def _setting_pairs(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    free = FREE | set(sizes_without_effect(str(before.get("architecture")), str(before.get("attention"))))
    return {name: (before[name], now[name]) for name in before.keys() & now.keys() - free}


def _plain(value: Any) -> Any:
    """As a run file would give it back: without secrets."""
    return withhold_all(json.loads(json.dumps(value, default=str)))


def _short(value: Any) -> str:
    text = f"{value}" if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
