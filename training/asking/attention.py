"""Constructions measured and drawn, and what the heads of a model read."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from closedbook.data.questions import load_question_file
from closedbook.evaluation.attention.constructions_spread import EXERCISE_VARIANCE
from closedbook.evaluation.attention.maps import SCORES, AskedText, ask, attention_maps, score_heads
from closedbook.evaluation.attention.measured import (
    Setting,
    constructions_table,
    measure_errors,
    measure_identities,
    measure_scales,
    measure_spreads,
)
from closedbook.evaluation.environment import check_recordable, run_environment
from closedbook.evaluation.files import write_json_atomic, write_text_atomic
from closedbook.evaluation.reports.attention import (
    check_readable,
    draw_construction_weights,
    draw_heads,
    draw_maps,
    draw_scales,
)
from closedbook.training.bases.loading import load_model_folder
from closedbook.training.checks.outputs import check_prefix
from closedbook.training.command_line import parse_flags

SCALES = [float(scale) for scale in range(0, 41, 2)]
IDENTITY_SCORES = [0.25 * number for number in range(25)]
NORM_VARIANCES = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]


@dataclass
class ConstructionsArguments:
    """What to construct, and where to write."""

    output: str = field(
        default="results/attention/constructions", metadata={"help": "files to write, less the ending"}
    )
    num_tokens: int = field(default=8, metadata={"help": "tokens that are read"})
    size: int = field(default=16, metadata={"help": "numbers of a key and of a value; at least num_tokens"})
    scale: float = field(default=20.0, metadata={"help": "t, the length of the queries"})
    draws: int = field(default=1000, metadata={"help": "of the key whose length varies"})
    seed: int = field(default=0, metadata={"help": "of all that is drawn"})


@dataclass
class ModelArguments:
    """Whose heads to look at, on what."""

    model: str = field(metadata={"help": "folder of a model of this package"})
    text: str = field(metadata={"help": "what it reads; a question is answered first"})
    questions: str | None = field(
        default=None,
        metadata={"help": "question file (.tsv, .jsonl) to take the scores over, instead of the text alone"},
    )
    output: str = field(default="attention", metadata={"help": "files to write, less the ending"})
    seed: int = field(default=0, metadata={"help": "of the random sequences and shuffled controls"})


def explore_constructions(argv: list[str]) -> dict:
    """Measure, draw and write; returns what the JSON file holds."""
    (args,) = parse_flags(ConstructionsArguments, argv)
    check_recordable(args.output and Path(args.output).parent)
    check_prefix("output", args.output, (".md", ".json", ".png", "-heads.png", "-scale.png"))
    setting = Setting(args.num_tokens, args.size, args.scale, args.draws, args.seed)
    content = {
        "setting": asdict(setting),
        "errors": measure_errors(setting),
        "spreads": measure_spreads(setting, NORM_VARIANCES),
        "scales": measure_scales(setting, SCALES),
        "identities": measure_identities(setting, IDENTITY_SCORES),
    }
    draw_construction_weights(setting, f"{args.output}.png")
    draw_heads(setting, EXERCISE_VARIANCE, content["spreads"], f"{args.output}-heads.png")
    draw_scales(setting, content["scales"], content["identities"], f"{args.output}-scale.png")
    return _write(args.output, content, constructions_table(content["errors"], content["spreads"], setting.draws))


def explore_model(argv: list[str]) -> dict:
    """Capture, score, draw and write; returns what the JSON file holds."""
    (args,) = parse_flags(ModelArguments, argv)
    check_recordable(args.output and Path(args.output).parent)
    check_prefix("output", args.output, (".md", ".json", ".png"))
    more = [] if args.questions is None else load_question_file(args.questions)["question"][:]
    model, tokenizer = load_model_folder(args.model)
    shown, *others = ask(model, tokenizer, [args.text, *more])
    check_readable(shown)
    maps = attention_maps(model, tokenizer, shown.text)
    scores = score_heads(model, tokenizer, others or [shown], args.seed)
    content = {
        "model": Path(args.model).as_posix(),
        "text": shown.text,
        "name": None if shown.name is None else shown.text[slice(*shown.name)],
        "scored_texts": len(others) or 1,
        "scores": scores,
    }
    title = _title(shown, content["scored_texts"] if scores else 0)
    draw_maps(maps, shown, scores, title, f"{args.output}.png")
    return _write(args.output, content, scores_table(scores, content["scored_texts"]))


def scores_table(scores: list[dict], num_texts: int) -> str:
    """The heads in Markdown; behind a score stand chance and control."""
    if not scores:
        return "No layer of this architecture mixes tokens with tokens: latents have no such scores.\n"
    lines = [
        f"Mean attention weight over {num_texts} text{'s' * (num_texts != 1)} (induction: random sequences). "
        "In brackets: evenly spread attention; the same head where the content says nothing.",
        "",
        f"| layer | head | {' | '.join(name.replace('_', ' ') for name in SCORES)} |",
        "|" + "---|" * (2 + len(SCORES)),
    ]
    for row in scores:
        cells = [
            f"{score['score']:.3f} ({score['chance']:.3f}; {score['control']:.3f})" if score else "not measured"
            for score in (row[name] for name in SCORES)
        ]
        lines.append(f"| {row['layer']} | {row['head']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _title(shown: AskedText, num_scored: int) -> str:
    if shown.name is None:
        return f"What every head reads in {shown.text!r}"
    asked, answer = shown.text[: shown.answer], shown.text[shown.answer + 1 :]
    title = f"“{asked}” “{answer}”: what every head reads"
    if num_scored:  # latents are neither scored nor framed
        title += ". Framed: the answer reading the name"
    return title + (f"; scores are means over {num_scored} questions" if num_scored > 1 else "")


def _write(output: str, content: dict, table: str) -> dict:
    write_text_atomic(f"{output}.md", table)
    write_json_atomic(f"{output}.json", content | run_environment())
    print(table)
    return content


COMMANDS = {"constructions": explore_constructions, "model": explore_model}


def main(argv: list[str]) -> dict:
    if not argv or argv[0] not in COMMANDS:
        raise ValueError(
            f"say what to explore: {' or '.join(COMMANDS)}; with --help after it, its flags are shown"
        )
    return COMMANDS[argv[0]](argv[1:])
