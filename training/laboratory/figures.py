"""The laboratory's figures: their arms run, their tables written, their pictures drawn."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from transformers.utils.logging import disable_progress_bar

from closedbook.evaluation.environment import check_recordable, run_environment
from closedbook.evaluation.files import write_json_atomic, write_text_atomic
from closedbook.evaluation.laboratory.pictures import draw
from closedbook.evaluation.laboratory.tables import FIGURES, summarise, table
from closedbook.training.command_line import parse_arguments
from closedbook.training.experiments.variants import check_choices
from closedbook.training.laboratory.arms import Arm
from closedbook.training.laboratory.runs import RECIPES, StageFlags, run_arm

SWEPT = {  # settings of which each value gives an arm -> what an arm calls its own; the last one varies fastest
    "seeds": "seed",
    "hidden_sizes": "hidden_size",
    "exposures": "exposures",
    "objectives": "objectives",
    "orders": "order",
    "wordings": "wordings",
}
QUICK = {
    "num_people": 12,
    "hidden_sizes": [16, 24],
    "exposures": [1, 2],
    "wordings": [1, 2],
    "mentions": [1, 2],
    "seeds": [0, 1],
    "one_wording_objectives": ["left_to_right+entity_cue"],
}
QUICK_PRETRAINING = ("--num_hidden_layers", "1", "--num_attention_heads", "2", "--eval_examples", "8")
QUICK_FINETUNING = ("--num_train_epochs", "1", "--eval_examples", "8")


@dataclass
class FigureArguments:
    """What the people are told and asked; each list of several values makes as many arms."""

    num_people: int = field(default=100, metadata={"help": "synthetic people"})
    population_seed: int = field(default=2, metadata={"help": "another seed, other people"})
    num_cities: int = field(default=100, metadata={"help": "birth places, all equally likely"})
    attributes: list[str] = field(
        default_factory=lambda: ["birth_place", "employer"], metadata={"help": "facts that are told and asked for"}
    )
    unit: str = field(default="sentence", metadata={"help": "a document is a biography or a sentence"})
    full_name: str = field(default="every", metadata={"help": "the full name in every sentence or the first"})
    versions: int = field(default=8, metadata={"help": "texts of each person, which are read in turn"})
    wordings: list[int] = field(default_factory=lambda: [8], metadata={"help": "wordings of a fact in them"})
    orders: list[str] = field(
        default_factory=lambda: ["shuffled"], metadata={"help": "fixed or shuffled: order of the facts in them"}
    )
    name_first: bool = field(default=True, metadata={"help": "only wordings with the name before the value"})
    exposures: list[int] = field(
        default_factory=lambda: [96], metadata={"help": "how often a fact is read; with mentions: the corpus"}
    )
    mentions: list[int] = field(
        default_factory=list, metadata={"help": "documents that state a fact, one group of people each"}
    )
    objectives: list[str] = field(
        default_factory=lambda: ["left_to_right"], metadata={"help": "of pretraining; a+b mixes two evenly"}
    )
    one_wording_objectives: list[str] = field(
        default_factory=list,
        metadata={
            "help": "objectives of further arms with the fewest wordings: do they do what more of these do?"
        },
    )
    hidden_sizes: list[int] = field(default_factory=lambda: [64], metadata={"help": "widths of the model"})
    train_share: float = field(
        default=0.5, metadata={"help": "share of the people whose questions are taught; the others are asked"}
    )
    questions: str = field(default="forward", metadata={"help": "forward, both (also from the value) or none"})
    seeds: list[int] = field(default_factory=lambda: [0], metadata={"help": "one run each"})


@dataclass
class CommandArguments:
    """Where to write, and how much to run."""

    output_dir: str = field(default="outputs/laboratory", metadata={"help": "folder for the models"})
    results: str = field(default="results", metadata={"help": "folder for the results"})
    num_threads: int = field(default=1, metadata={"help": "CPU threads; more hardly help models this small"})
    quick: bool = field(default=False, metadata={"help": "a few steps of tiny models: tests the machinery only"})
    full: bool = field(default=False, metadata={"help": "the larger sweep, where the figure has one"})


def main(argv: list[str]) -> list[dict]:
    """Returns the rows of the figure's table."""
    if not argv or argv[0] not in FIGURES:
        raise ValueError(f"name a figure first: {', '.join(FIGURES)} (got {' '.join(argv[:1]) or 'nothing'})")
    figure = argv[0]
    recipe = RECIPES / f"laboratory_{figure}{'_full' if '--full' in argv else ''}.yaml"
    if not recipe.exists():
        raise ValueError(f"{figure} has no larger sweep: leave --full out")
    settings, command, _ = parse_arguments(
        (FigureArguments, CommandArguments), ["--recipe", str(recipe), *argv[1:]]
    )
    check_recordable(command.results)
    flags = StageFlags(machine=("--num_threads", str(command.num_threads), "--disable_tqdm", "true"))
    if command.quick:
        settings = shorten(settings)
        flags = replace(flags, pretraining=QUICK_PRETRAINING, finetuning=QUICK_FINETUNING)
    arms = make_arms(settings)
    disable_progress_bar()  # of reading and writing weights
    results = []
    for number, arm in enumerate(arms, 1):
        print(f"=== {figure}, arm {number} of {len(arms)}: {describe(arm, arms)}", flush=True)
        results.append(run_arm(arm, flags, command.output_dir))
        rows = write_figure(figure, settings, len(arms), results, Path(command.results))
    print("\n" + table(figure, rows))
    return rows


def shorten(settings: FigureArguments) -> FigureArguments:
    """The same arms in kind, small enough for a test; a setting with one value keeps one."""
    cut = {"versions": 2}
    for name, small in QUICK.items():
        value = getattr(settings, name)
        cut[name] = small[: len(value)] if isinstance(value, list) else small
    return replace(settings, **cut)


def make_arms(settings: FigureArguments) -> list[Arm]:
    """One arm for each combination of the swept settings, and those of `one_wording_objectives` behind them.

    Raises:
        ValueError: for a value given twice, or one that no arm can have (all arms are made before one is run).
    """
    for name in SWEPT:
        check_choices(name, getattr(settings, name))
    check_choices("objectives", [*settings.objectives, *settings.one_wording_objectives])
    parts = [settings]
    if settings.one_wording_objectives:
        fewest = [min(settings.wordings)]
        parts.append(replace(settings, objectives=settings.one_wording_objectives, wordings=fewest))
    arms = [arm for part in parts for arm in _combinations(part)]
    arms.sort(key=lambda arm: settings.seeds.index(arm.seed))  # a stopped figure is whole for some of its seeds
    for arm in arms:
        arm.documents(replace(arm, num_people=1).population())
    return arms


def _combinations(settings: FigureArguments) -> list[Arm]:
    single: dict[str, Any] = {"city_skew": 0.0}  # of the rest of the settings
    single |= {name: value for name, value in asdict(settings).items() if name not in SWEPT}
    single |= {name: tuple(single[name]) for name in ("attributes", "mentions")}
    del single["one_wording_objectives"]
    return [
        Arm(**single, **dict(zip(SWEPT.values(), values, strict=True)))
        for values in product(*(getattr(settings, name) for name in SWEPT))
    ]


def describe(arm: Arm, arms: Sequence[Arm]) -> str:
    """What sets an arm apart from the figure's others."""
    swept = [name for name in SWEPT.values() if len({getattr(other, name) for other in arms}) > 1]
    return ", ".join(f"{name} {getattr(arm, name)}" for name in swept) or "the only one"


def write_figure(
    figure: str, settings: FigureArguments, arms: int, results: list[dict], folder: Path
) -> list[dict]:
    """Write what the finished arms say: results, table and picture."""
    rows = summarise(figure, results)
    path = folder / "laboratory" / f"{figure}.json"
    # arms of earlier versions do not say what they cost the processor
    seconds, of_processor = (
        round(sum(result.get(name, 0.0) for result in results), 1)
        for name in ("train_seconds", "processor_seconds")
    )
    content = {"figure": figure, "settings": asdict(settings), "arms": arms, "finished_arms": len(results)}
    content |= {
        "train_seconds": seconds,
        "processor_seconds": of_processor,
        "rows": rows,
        "results": results,
        **run_environment(),
    }
    write_json_atomic(path, content)
    write_text_atomic(path.with_suffix(".md"), table(figure, rows))
    draw(figure, rows, path.with_suffix(".png"))
    return rows
