"""Tables of a report, in Markdown, from result files: nothing in them is typed by hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from closedbook.evaluation.files import read_json_object
from closedbook.evaluation.statistics.intervals import wilson_interval

_WORDS = {  # how a table says that a system came about; results.PROTOCOLS has the whole sentence
    "majority": "no model",
    "no_pretraining": "no pretraining",
    "two_stage": "two stages",
    "mixed": "mixed",
    "self_questions": "its own questions",
    "open_book": "open book",
    "pretrain": "pretrained only",
    "converted": "converted",
    "prompted": "prompted",
}
_TABLE_COLUMNS = (
    "system",
    "protocol",
    "parameters",
    "accuracy [95% interval]",
    "seeds",
    "questions",
    "training characters",
)
_PUBLISHED_FIELDS = ("system", "parameters", "runs", "accuracy")


@dataclass(frozen=True)
class Summary:
    """The runs of one system that differ in their seeds only.

    Attributes:
        task, split, model, protocol, parameters, n: As in the results, where they are the same for all runs.
        recipe: Names of the recipes, without folders, in the order of the stages.
        ablation: What the system leaves out or adds, where its results are part of an ablation; else "".
        accuracies: One accuracy a run, in [0, 1], in the order of the seeds.
        seeds: The seeds, ascending.
        train_characters: Characters seen in training, mean over the runs.
        label: Words for the system that no other one of its task and split has.
    """

    task: str
    split: str
    model: str
    protocol: str
    parameters: int
    n: int
    recipe: str
    ablation: str
    accuracies: tuple[float, ...]
    seeds: tuple[int, ...]
    train_characters: int
    label: str

    @property
    def accuracy(self) -> float:
        """Mean accuracy over the runs."""
        return sum(self.accuracies) / len(self.accuracies)

    @property
    def interval(self) -> tuple[float, float]:
        """95% Wilson interval of the mean accuracy for the `n` questions.

        The runs answer the same questions, so that more seeds do not make the questions more: the interval is
        that of `n` trials, the mean count rounded to a whole question.
        """
        return wilson_interval(round(self.accuracy * self.n), self.n)


def summarize(results: Sequence[dict[str, Any]]) -> list[Summary]:
    """Group results by system and sort them by task, split, and ascending mean accuracy.

    Runs of two recipes are two systems, also where model and protocol are the same.

    Raises:
        ValueError: If two results of one system have the same seed: one of them is a leftover.
    """
    fields = ("task", "split", "model", "protocol", "parameters", "n", "recipe", "ablation")

    def system(result: dict[str, Any]) -> tuple:
        told = result | {"recipe": recipe_names(result["recipe"]), "ablation": result.get("ablation", "")}
        return tuple(told[field] for field in fields)

    groups = {}
    for key, group in groupby(sorted(results, key=lambda r: (*system(r), r["seed"])), key=system):
        groups[key] = runs = list(group)
        seeds = [run["seed"] for run in runs]
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"two results of {dict(zip(fields, key, strict=True))} share a seed: {seeds}.")
    summaries = []
    for key, runs in groups.items():
        summaries.append(
            Summary(
                *key,
                accuracies=tuple(run["accuracy"] for run in runs),
                seeds=tuple(run["seed"] for run in runs),
                train_characters=round(sum(run["train_characters"] for run in runs) / len(runs)),
                label=_label(key, list(groups)),
            )
        )
    return sorted(summaries, key=lambda summary: (summary.task, summary.split, summary.accuracy))


def _label(key: tuple, others: list[tuple]) -> str:
    _, _, model, protocol, _, _, recipe, ablation = key
    if ablation:
        return ablation
    if protocol == "majority":
        return f'always "{model.removeprefix("always-").replace("-", " ")}"'
    label = f"{model}, {_WORDS.get(protocol, protocol)}"
    alike = {other[6] for other in others if other[:4] == key[:4]}
    if len(alike) == 1:
        return label
    first = recipe.split(" then ")[0]
    return f"{label} ({first if [name.split(' then ')[0] for name in alike].count(first) == 1 else recipe})"


def recipe_names(recipe: str) -> str:
    """A result's recipes without folders and endings: the same recipe has the same name from everywhere."""
    return " then ".join(Path(part).name.removesuffix(".yaml") for part in recipe.split(" then "))


def results_table(results: Sequence[dict[str, Any]]) -> str:
    """Markdown table of results, one row a system, under a heading for every task and split."""
    lines = []
    for (task, split), group in groupby(summarize(results), key=lambda summary: (summary.task, summary.split)):
        lines += [
            f"### {task}, {split}",
            "",
            f"| {' | '.join(_TABLE_COLUMNS)} |",
            "|---|---|---:|---:|---:|---:|---:|",
        ]
        lines += [_table_row(summary) for summary in group]
        lines.append("")
    return "\n".join(lines)


def _table_row(summary: Summary) -> str:
    low, high = summary.interval
    name = f" ({summary.ablation})" if summary.ablation else ""
    cells = [
        summary.model + name,
        summary.protocol.replace("_", " "),
        f"{summary.parameters:,}",
        f"{summary.accuracy:.1%} [{low:.1%}, {high:.1%}]",
        _seeds(summary),
        f"{summary.n:,}",
        f"{summary.train_characters:,}",
    ]
    return row(cells)


def row(cells: Sequence[str]) -> str:
    """One line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def _seeds(summary: Summary) -> str:
    count = str(len(summary.seeds))
    if len(summary.seeds) > 1:
        count += f" ({min(summary.accuracies):.1%} to {max(summary.accuracies):.1%})"
    return count


def accuracy_table(results: Sequence[dict[str, Any]], published: dict[str, Any] | None = None) -> str:
    """The table that a page leads with: systems of one task and split, ascending, the best of ours in bold.

    Args:
        results: Of one task and split.
        published: What others have reached there: an entry of `read_published`, or None.

    Raises:
        ValueError: If there are no results, or they mix tasks or splits.
    """
    summaries = summaries_of_one_set(results)
    task, split = summaries[0].task, summaries[0].split
    numbers = ", ".join(sorted({f"{summary.n:,}" for summary in summaries}))
    lines = [
        row(
            [
                f"{task}, {split} ({numbers} questions)",
                "parameters",
                "accuracy",
                "95% interval",
                "seeds",
                "characters read",
            ]
        ),
        "|---|---:|---:|---:|---:|---:|",
    ]
    for summary in summaries:
        low, high = summary.interval
        bold = "**" if summary is summaries[-1] and summary.protocol != "majority" else ""
        cells = [
            f"{bold}{summary.label}{bold}",
            f"{summary.parameters:,}",
            f"{bold}{summary.accuracy:.1%}{bold}",
            f"{low:.1%} to {high:.1%}",
            _seeds(summary),
            f"{summary.train_characters:,}",
        ]
        lines.append(row(cells))
    for entry in (published or {}).get("systems", []):
        low, high = entry["accuracy"]
        share = f"{low:.1%}" if low == high else f"{low:.1%} to {high:.1%}"
        runs = f"{entry['runs']} run{'s' if entry['runs'] > 1 else ''}"
        parameters = "" if entry["parameters"] is None else f"{entry['parameters']:,}"
        read = entry.get("characters")
        lines.append(
            row([f"published: {entry['system']}", parameters, share, "", runs, f"about {read:,}" if read else ""])
        )
    if published and "ceiling" in published:
        ceiling = published["ceiling"]
        share = f"{ceiling['correct'] / ceiling['n']:.1%}"
        lines.append(row([f"ceiling: {ceiling['meaning']}", "", share, "", "", ""]))
    return "\n".join(lines) + "\n"


def summaries_of_one_set(results: Sequence[dict[str, Any]]) -> list[Summary]:
    """Summaries in ascending order of accuracy.

    Raises:
        ValueError: If there are no results, or they mix tasks or splits, whose accuracies do not compare.
    """
    summaries = summarize(results)
    sets = sorted({(summary.task, summary.split) for summary in summaries})
    if len(sets) != 1:
        raise ValueError(f"systems are compared on one task and split, but the results hold {sets or 'none'}.")
    return summaries


def read_published(path: str | Path, task: str) -> dict[str, Any] | None:
    """What others have reached on a task: `{"split", "n", "source", "systems", "ceiling"}`, or None.

    The file is `{"description": ..., "tasks": {task: entry}}`; a system is `{"system", "parameters", "runs",
    "accuracy": [lowest, highest]}`, and `ceiling` says how many of `n` questions the corpus answers at all.

    Raises:
        ValueError: If an entry names no source, or a system lacks a field.
    """
    path = Path(path)
    if not path.exists():
        return None
    tasks = read_json_object(path).get("tasks")
    if not isinstance(tasks, dict):
        raise ValueError(f"{path} holds no object `tasks`; it has to be {{'description': ..., 'tasks': {{...}}}}.")
    entry = tasks.get(task)
    if entry is None:
        return None
    if not entry.get("source"):
        raise ValueError(f"{path}: {task} names no source; published numbers need one.")
    for number, system in enumerate(entry["systems"], start=1):
        missing = [name for name in _PUBLISHED_FIELDS if name not in system]
        if missing:
            raise ValueError(f"{path}: system {number} of {task} lacks {', '.join(missing)}.")
    return entry


def ablation_table(results: Sequence[dict[str, Any]]) -> str:
    """Recipe by recipe: what each trains on, how often it meets a fact, and what it reaches.

    Args:
        results: Result files of one task and split that also hold `ablation` (words for the recipe), `objectives`
            (as in the run file: a list of `name=share@part of the run`) and optionally `exposures` (how often
            training met a fact, on average).

    Raises:
        ValueError: If a result lacks `ablation` or `objectives`, or they mix tasks or splits.
    """
    for result in results:
        missing = [name for name in ("ablation", "objectives") if not result.get(name)]
        if missing:
            raise ValueError(f"a result of {result['task']}, seed {result['seed']}, lacks {', '.join(missing)}.")
    lines = [
        "| recipe | objectives and shares of the predicted characters | exposures a fact | characters read "
        "| accuracy | 95% interval | seeds |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for summary in summaries_of_one_set(results):
        runs = [result for result in results if result["ablation"] == summary.ablation]
        exposures = [result["exposures"] for result in runs if result.get("exposures") is not None]
        low, high = summary.interval
        cells = [
            f"{summary.ablation} ({_WORDS.get(summary.protocol, summary.protocol)})",
            _objectives(runs[0]["objectives"]),
            f"{sum(exposures) / len(exposures):,.0f}" if exposures else "",
            f"{summary.train_characters:,}",
            f"{summary.accuracy:.1%}",
            f"{low:.1%} to {high:.1%}",
            _seeds(summary),
        ]
        lines.append(row(cells))
    return "\n".join(lines) + "\n"


def _objectives(objectives: Sequence[str]) -> str:
    return " ".join(f"`{item}`" for item in objectives)
