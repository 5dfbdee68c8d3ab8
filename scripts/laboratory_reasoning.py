"""Chain of thought in the laboratory: what does a small model gain from being taught to write its steps down?

    python scripts/laboratory_reasoning.py

Models trained from scratch on generated word problems (data/word_problems.py), which differ in one thing: the
answers that they are taught. `direct`: the number alone. `worked`: every step as an equation, then the number.
`filler`: as many dots as the steps have characters, then the number. All read equally many characters with the
same optimizer and schedule; so those with longer answers read fewer problems. Then they are asked new problems,
with as many steps as they were trained on and with more.

Everything is set in scripts/recipes/laboratory_reasoning.yaml, and every key of it is also a flag. Writes
`<results>/laboratory-reasoning.json`, `.md` and `.png` after every arm; arms that are finished (their folders are
in `--output_dir`) are not run again, so a stopped command goes on where it was. `--quick` tests the machinery
only.
"""

import sys
from dataclasses import asdict
from pathlib import Path

if Path(sys.path[0]).resolve() == Path(__file__).resolve().parent:
    sys.path.pop(0)  # this folder's evaluate.py would stand before the library `evaluate`

from transformers.utils.logging import disable_progress_bar

from closedbook.data.word_problems import ANSWER_STYLES
from closedbook.evaluation.reasoning_laboratory import draw_reasoning, reasoning_table, summarise
from closedbook.evaluation.results import run_environment, write_json_atomic, write_text_atomic
from closedbook.scripts.command_line import parse_arguments
from closedbook.scripts.laboratory_reasoning_runs import ARGUMENTS, ReasoningArguments, run_arm
from closedbook.scripts.variants import check_choices

RECIPE = Path(__file__).resolve().parent / "recipes" / "laboratory_reasoning.yaml"
QUICK = [
    *("--seeds", "0", "--problems_each", "3", "--train_characters", "8000", "--eval_examples", "8"),
    *("--hidden_size", "16", "--num_hidden_layers", "1", "--num_attention_heads", "2"),
]


def main(argv: list[str]) -> dict:
    """Returns the summary of `evaluation.reasoning_laboratory.summarise`."""
    chosen = ["--recipe", str(RECIPE), *(QUICK if "--quick" in argv else []), *argv]
    settings, *_, args, _ = parse_arguments(ARGUMENTS, chosen)
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
    path = Path(settings.results) / "laboratory-reasoning.json"
    seconds = round(sum(result["train_seconds"] for result in results), 1)
    content = {"settings": asdict(settings), "arms": num_arms, "finished_arms": len(results)}
    content |= {"train_seconds": seconds} | summary
    content["results"] = [{name: value for name, value in r.items() if name != "rows"} for r in results]
    write_json_atomic(path, content | run_environment())
    write_text_atomic(path.with_suffix(".md"), reasoning_table(summary))
    draw_reasoning(summary, path.with_suffix(".png"))
    return summary


if __name__ == "__main__":
    main(sys.argv[1:])
