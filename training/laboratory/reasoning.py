"""Chain of thought in the laboratory: all arms run, and what they say together."""

from dataclasses import asdict
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from closedbook.data.generated.word_problems import ANSWER_STYLES
from closedbook.evaluation.environment import check_recordable, run_environment
from closedbook.evaluation.files import write_json_atomic, write_text_atomic
from closedbook.evaluation.laboratory.reasoning import draw_reasoning, reasoning_table, summarise
from closedbook.training.command_line import RECIPES, parse_arguments
from closedbook.training.experiments.variants import check_choices
from closedbook.training.laboratory.reasoning_runs import ARGUMENTS, ReasoningArguments, run_arm

RECIPE = RECIPES / "laboratory_reasoning.yaml"
QUICK = [
    *("--seeds", "0", "--problems_each", "3", "--train_characters", "8000", "--eval_examples", "8"),
    *("--hidden_size", "16", "--num_hidden_layers", "1", "--num_attention_heads", "2"),
]


def main(argv: list[str]) -> dict:
    """Returns the summary of `evaluation.reasoning_laboratory.summarise`."""
    chosen = ["--recipe", str(RECIPE), *(QUICK if "--quick" in argv else []), *argv]
    settings, *_, args, _ = parse_arguments(ARGUMENTS, chosen)
    check_recordable(settings.results)
    check_settings(settings)
    disable_progress_bar()  # of reading and writing weights
    arms = [(style, seed) for seed in settings.seeds for style in settings.arms]
    results = []
    for number, (style, seed) in enumerate(arms, 1):
        print(f"=== arm {number} of {len(arms)}: {style}, seed {seed}", flush=True)
        results.append(run_arm(style, seed, chosen, Path(args.output_dir)))
        summary = write_results(settings, len(arms), results)
    print("\n" + reasoning_table(summary))
    return summary


def check_settings(settings: ReasoningArguments) -> None:
    """Refuse what cannot be run, before anything slow.

    Raises:
        ValueError: for an unknown arm, something named twice, or numbers that must be at least 1.
    """
    check_choices("arms", settings.arms, list(ANSWER_STYLES))
    for name in ("seeds", "trained_steps", "asked_steps"):
        check_choices(name, getattr(settings, name))
    least = {name: getattr(settings, name) for name in ("problems_each", "train_characters")}
    least |= {name: min(getattr(settings, name)) for name in ("trained_steps", "asked_steps")}
    for name, value in least.items():
        if value < 1:
            raise ValueError(f"--{name} must be at least 1, got {value}")


def write_results(settings: ReasoningArguments, num_arms: int, results: list[dict]) -> dict:
    """Write what the finished arms say: the counts, the table and the picture."""
    summary = summarise(results)
    path = Path(settings.results) / "laboratory" / "reasoning.json"
    seconds = round(sum(result["train_seconds"] for result in results), 1)
    content = {"settings": asdict(settings), "arms": num_arms, "finished_arms": len(results)}
    content |= {"train_seconds": seconds} | summary
    content["results"] = [{name: value for name, value in r.items() if name != "rows"} for r in results]
    write_json_atomic(path, content | run_environment())
    write_text_atomic(path.with_suffix(".md"), reasoning_table(summary))
    draw_reasoning(summary, path.with_suffix(".png"))
    return summary
