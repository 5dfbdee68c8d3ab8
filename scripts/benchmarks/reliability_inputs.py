"""Wrong inputs: what a user may type, name or bring that cannot be right.

Most are made from the flags themselves, so that a new flag is tried without being listed: a word where a number
is wanted, a file that is not there, a folder in the place of a file, a misspelling. The others are typed here by
what is wrong with them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from closedbook.training import finetuning, pretraining
from closedbook.training.arguments import ClosedbookTrainingArguments, PopulationArguments
from closedbook.training.asking.people import KnowingArguments
from closedbook.training.asking.questions import EvaluationArguments

PEOPLE = ["--num_people", "20"]
SIZES = ["--num_versions", "1", "--hidden_size", "32", "--num_hidden_layers", "1", "--num_attention_heads", "2"]
TRAINING = [
    *("--max_steps", "6", "--global_batch_size", "8", "--num_threads", "1", "--eval_examples", "16"),
    *("--save_steps", "3", "--logging_steps", "1"),
]
TINY = [*PEOPLE, *SIZES, *TRAINING]
KINDS: dict[str, tuple[type, ...]] = {
    "pretrain": pretraining.ARGUMENTS,
    "finetune": finetuning.ARGUMENTS,
    "evaluate": (EvaluationArguments, PopulationArguments),
    "knowing": (KnowingArguments, PopulationArguments),
}
_NUMBERS = ("int", "float", "int | None", "float | None")
# Of the library's two hundred flags, those that a user of these scripts types.
_TYPED = (
    *("learning_rate", "weight_decay", "max_steps", "num_train_epochs", "warmup_steps", "save_steps", "seed"),
    *("per_device_train_batch_size", "global_batch_size", "row_length", "eval_examples", "time_limit"),
)


@dataclass(frozen=True)
class WrongInput:
    """A command that cannot be right.

    Attributes:
        script: its name.
        flags: beside those that make it quick and name the model.
        what: kind of mistake.
    """

    script: str
    flags: tuple[str, ...]
    what: str


def wrong_inputs(folder: Path, model: Path) -> list[WrongInput]:
    """All of them.

    Args:
        folder: for the files that they name; they are written there.
        model: a finished run.
    """
    files = {name: folder / name for name in _CONTENTS}
    for name, content in _CONTENTS.items():
        files[name].parent.mkdir(parents=True, exist_ok=True)
        files[name].write_bytes(content)
    (folder / "damaged").mkdir(exist_ok=True)
    (folder / "damaged" / "config.json").write_text("{", encoding="utf-8")
    (folder / "damaged" / "run.json").write_text("[1, 2", encoding="utf-8")
    named = {"MODEL": str(model), "FOLDER": str(folder), "DAMAGED": str(folder / "damaged")}
    named |= {name.upper(): str(path) for name, path in files.items()}
    listed = [
        WrongInput(script, tuple(named.get(word, word) for word in line.split()), what)
        for what, scripts in _LISTED.items()
        for script, lines in scripts.items()
        for line in lines
    ]
    return [*_from_flags(folder), *listed]


def _from_flags(folder: Path) -> Iterator[WrongInput]:
    for script, kinds in KINDS.items():
        for kind in kinds:
            for item in fields(kind):
                if kind is ClosedbookTrainingArguments and item.name not in _TYPED:
                    continue
                yield from _about_flag(script, item.name, str(getattr(item.type, "__name__", item.type)), folder)


def _about_flag(script: str, name: str, kind: str, folder: Path) -> Iterator[WrongInput]:
    flag = f"--{name}"
    yield WrongInput(script, (flag[:-1] + "x" + flag[-1], "1"), "a misspelt flag")
    if any(number == kind for number in _NUMBERS):
        yield WrongInput(script, (flag, "many"), "a word for a number")
    if name.endswith(("_path", "_file", "_questions")) and "str" in kind:
        beside = ["--questions", "file"] if "question" in name and script != "pretrain" else []
        beside += ["--corpus", "text"] if name == "corpus_path" else []
        if name == "unknown_corpus_path":
            beside = ["--num_unknown_people", "3", "--unknown_corpus", "text"]
        if name == "train_questions" and script == "pretrain":
            beside = ["--questions", "file", "--objectives", "span_corruption", "question_answering"]
        for what, path in (("a file that is not there", folder / "nowhere.txt"), ("a folder for a file", folder)):
            yield WrongInput(script, (*beside, flag, str(path)), what)


_QUESTION = "Where was Ada Lind born?\tBern\n"
_CONTENTS = {
    "empty.txt": b"",
    "latin.txt": "Jörg Lind was born in Zürich.\n".encode("latin-1") * 9,
    "wiki.txt": b"Ada Lind. Ada Lind was born in Bern.\n" * 9,
    "noname.txt": b"no name at all\n" * 9,
    "binary.bin": bytes(range(256)) * 9,
    "broken.json": b'{"Data": [',
    "broken.jsonl": b'{"question": "Who?"\n',
    "list.json": b"[1, 2, 3]",
    "oneword.tsv": b"Where\n" * 4,
    "questions.tsv": _QUESTION.encode() * 4,
    "recipe.yaml": b"hidden_sise: 32\n",
    "list.yaml": b"- 1\n- 2\n",
    "broken.yaml": b"a: [1\n",
    "novalue.yaml": b"seed:\n",
}

# What is wrong -> script -> flags, each a command line; a name of `_CONTENTS` in capitals is that file, MODEL a
# finished run, FOLDER a folder of other things, DAMAGED a model folder that is none.
_LISTED: dict[str, dict[str, list[str]]] = {
    "a source that is not read": {
        "pretrain": ["--corpus_path WIKI.TXT", "--train_questions QUESTIONS.TSV"],
        "finetune": ["--train_questions QUESTIONS.TSV", "--exclude_people_of QUESTIONS.TSV"],
        "evaluate": ["--question_file QUESTIONS.TSV", "--train_questions QUESTIONS.TSV"],
        "knowing": ["--question_file QUESTIONS.TSV"],
    },
    "other people than the model's": {
        "evaluate": ["--num_people 21", "--population_seed 3"],
        "knowing": ["--num_people 21", "--population_seed 3"],
    },
    "a file that is none": {
        "pretrain": [
            *(f"--corpus text --corpus_path {name}" for name in ("EMPTY.TXT", "LATIN.TXT", "BINARY.BIN")),
            *(f"--corpus wiki --corpus_path {name}" for name in ("EMPTY.TXT", "LATIN.TXT", "NONAME.TXT")),
            "--corpus hub --corpus_path BROKEN.JSONL",
            *(
                f"--recipe {name}"
                for name in ("RECIPE.YAML", "LIST.YAML", "BROKEN.YAML", "NOVALUE.YAML", "no.yaml")
            ),
        ],
        "finetune": [
            f"--questions file --train_questions {name}" for name in ("EMPTY.TXT", "BINARY.BIN", "ONEWORD.TSV")
        ],
        "evaluate": [
            *(f"--questions file --question_file {name}" for name in ("EMPTY.TXT", "BINARY.BIN", "ONEWORD.TSV")),
            *(f"--questions popqa --question_file {name}" for name in ("LIST.JSON", "BROKEN.JSON")),
            *(f"--questions triviaqa --question_file {name}" for name in ("LIST.JSON", "BROKEN.JSON")),
        ],
    },
    "a name that leaves its folder": {
        "evaluate": [*(f"--task {name}" for name in ("../x", "a/b", "..")), "--split ../x", "--split /etc"],
        "knowing": ["--split ../x"],
    },
    "an output that cannot be written, or is somebody's": {
        "pretrain": [
            *("--output_dir WIKI.TXT", "--output_dir FOLDER --overwrite", "--output_dir MODEL"),
            "--corpus text --corpus_path WIKI.TXT --output_dir FOLDER",
        ],
        "finetune": ["--output_dir MODEL --overwrite"],
        "evaluate": ["--output_dir WIKI.TXT", "--plain_predictions FOLDER"],
        "knowing": ["--output_dir WIKI.TXT"],
    },
    "a model that is none": {
        script: [f"--model {model}" for model in ("nowhere", "FOLDER", "DAMAGED", "WIKI.TXT")]
        for script in ("finetune", "evaluate", "knowing")
    },
    "a flag without effect": {
        "pretrain": [
            *(
                "--optim adafactor",
                "--label_smoothing_factor 0.1",
                "--dataloader_drop_last True",
                "--num_latents 8",
            ),
            *("--num_landmarks 8", "--data_seed 2", "--eval_steps 2", "--hub_model_id me/it", "--bf16 True"),
            *("--ignore_data_skip True", "--remove_unused_columns True", "--auto_find_batch_size True"),
            *("--resume_from_checkpoint x", "--validation_share 0.2", "--exclude_people Somebody"),
            *("--nonfinite_limit 3", "--gradient_accumulation_steps 2", "--do_predict True"),
        ],
        "finetune": ["--unknown_corpus text", "--label_names labels", "--prediction_loss_only True"],
        "evaluate": ["--trust_remote_code True"],
    },
    "a value that cannot be": {
        "pretrain": [
            *("--hidden_size 0", "--hidden_size -8", "--num_attention_heads 3", "--block_size 0", "--max_steps 0"),
            *("--num_hidden_layers -1", "--num_people 0", "--num_people -5", "--num_versions 0", "--dropout 1.5"),
            *(
                "--dropout -0.1",
                "--attention_dropout 2",
                "--architecture rnn",
                "--attention none",
                "--corpus novel",
            ),
            *("--position absolute", "--optimizer sgd", "--precision int8", "--objectives spam", "--row_length 7"),
            *("--objectives span_corruption=-1", "--objectives span_corruption@2", "--attributes shoe_size"),
            *("--global_batch_size 0", "--per_device_train_batch_size 3", "--report_to wandb", "--time_limit -1"),
            *("--on_nonfinite ignore", "--biography_unit novel", "--architecture perceiver --latent_layout x"),
            *("--resume", "--resume --overwrite", "--eval_examples 0", "--learning_rate nan", "--save_steps 0"),
            *("--learning_rate -1", "--learning_rate 1e9", "--num_train_epochs 0 --max_steps -1"),
        ],
        "finetune": [
            *("--validation_share 1", "--validation_share -0.5", "--num_unknown_people -1", "--questions quiz"),
            *("--num_people 0", "--exclude_people Nobody"),
        ],
        "evaluate": [
            "--batch_size 0",
            "--max_new_tokens 0",
            "--questions quiz",
            "--prompt nowhere",
            "--split none",
        ],
        "knowing": ["--batch_size -3", "--max_new_tokens 0", "--questions quiz", "--max_error_rate 1.5"],
    },
}


def command(script: str, flags: tuple[str, ...], model: Path, output: Path) -> list[str]:
    """The words of a wrong input: quick settings and the model first, so that what is wrong wins."""
    beside: dict[str, Any] = {
        "pretrain": [*TINY, "--output_dir", output],
        "finetune": [
            "--model",
            model,
            *(word for word in TINY[8 + 6 :]),
            "--num_people",
            "20",
            "--output_dir",
            output,
        ],
        "evaluate": ["--model", model],
        "knowing": ["--model", model],
    }
    return [*map(str, beside[script]), *flags]
