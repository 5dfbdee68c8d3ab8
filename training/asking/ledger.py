"""The ledger as a command and as a function: one row a fact of the documents, and what a model makes of it."""

import json
import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase

from closedbook.data.documents.loading import load_documents, with_titles
from closedbook.data.questions import load_question_file
from closedbook.data.writing.question_form import CHAT, DEFAULT_PROMPT
from closedbook.evaluation.answering.stock_models import check_prompt, from_pretrained
from closedbook.evaluation.environment import check_recordable, run_environment
from closedbook.evaluation.ledger.facts import Fact
from closedbook.evaluation.ledger.given import read_facts
from closedbook.evaluation.ledger.ledger import LEDGER_FILES, Ledger, make_ledger
from closedbook.evaluation.ledger.measuring import RULES, AskedModel, Reply, Standing, measure
from closedbook.evaluation.ledger.summary import describe_ledger
from closedbook.evaluation.run_record import Run, read_run
from closedbook.training.asking.people import recorded_people
from closedbook.training.asking.stream import ask_in_rounds, check_same_everywhere, describe_model
from closedbook.training.bases.asking import load_to_ask
from closedbook.training.bases.loading import ADAPTER_FILE, check_is_model, is_of_this_package
from closedbook.training.checks.outputs import (
    check_inputs_outside,
    check_output_outside,
    check_outputs,
    named_again,
)
from closedbook.training.checks.together import check_together
from closedbook.training.command_line import parse_flags
from closedbook.training.documents import documents_read
from closedbook.training.finished_runs import GrowingFile, digest
from closedbook.training.hardware import own_device, process_state
from closedbook.training.keeping.lock import sole_writer
from closedbook.training.model_card import record_ledger
from closedbook.training.run_folder import check_outside_model

FOLDER = "ledger"
CHUNK = 64  # facts, kept at once; one is some thirty texts to read: questions, sentences, alternatives
TOGETHER = 32  # facts of a chunk that are always measured by one process, and their texts put into batches
_KEPT = re.compile(r"measured-[0-9a-f]{8}\.jsonl\.partial(\.json)?")  # names of files that `InParts` writes


@dataclass
class LedgerArguments:
    """Whom to ask about which documents, against whom, and where to write."""

    model: str = field(metadata={"help": "folder of the model, or its name on the Hub"})
    documents: str | None = field(
        default=None,
        metadata={
            "help": "a folder of texts, Markdown and tables, or a file of these; default: what the model read"
        },
    )
    questions: str | None = field(
        default=None, metadata={"help": "questions with answers (.tsv, .jsonl), instead of facts found by rule"}
    )
    facts: str | None = field(
        default=None, metadata={"help": "subject, relation, object (.tsv, .jsonl), instead of facts found by rule"}
    )
    before: str | None = field(default=None, metadata={"help": "the model before it read the documents"})
    others: list[str] = field(default_factory=list, metadata={"help": "models that were taught other documents"})
    control: str | None = field(
        default=None,
        metadata={"help": "questions with answers on other matters (.tsv, .jsonl): what was forgotten?"},
    )
    prompt: str | None = field(
        default=None,
        metadata={
            "help": "ask so, with {question} in it, or chat for the tokenizer's template; default: the mask token "
            "for models of this package, 'Question: {question}\\nAnswer:' for others"
        },
    )
    trust_remote_code: bool = field(default=False, metadata={"help": "run code that the models bring along"})
    wordings: int = field(default=3, metadata={"help": "how many wordings of a question, at most"})
    num_alternatives: int = field(
        default=9, metadata={"help": "objects of other facts that each object is ranked among, at most"}
    )
    rule: str | None = field(
        default=None,
        metadata={"help": f"when an answer is right: {', '.join(RULES)}; default: match, with a prompt contains"},
    )
    num_samples: int = field(default=0, metadata={"help": "samples a question, for how far they agree; 0: none"})
    seed: int = field(default=0, metadata={"help": "of samples and of which alternatives"})
    output_dir: str | None = field(default=None, metadata={"help": "default: <model>/ledger"})
    batch_size: int = field(default=32, metadata={"help": "texts read at once"})
    max_new_tokens: int = field(
        default=32, metadata={"help": "longest answer, in tokens (characters, in models of ours)"}
    )


def main(argv: list[str]) -> Ledger:
    (args,) = parse_flags(LedgerArguments, argv)
    found = keep_ledger(args)
    if process_state().is_main_process:
        print(describe_ledger(found.summary))
        print(f"written to {output_folder(args)}")
    return found


@torch.no_grad()
def keep_ledger(args: LedgerArguments) -> Ledger:
    """Ask, write, and return the ledger.

    Raises:
        ValueError: for whatever cannot be read, asked or written; before anything is asked.
    """
    check_together(*checks(args))
    run, state = read_run(args.model), process_state()
    documents = (
        _titled(args.documents) if args.documents else documents_read(run, None, None, recorded_people(run))
    )
    if not isinstance(documents, Dataset):
        raise ValueError(
            f"the model was trained on {len(documents):,} documents, too many to keep a ledger of: name some with "
            "--documents"
        )
    read = load_question_file
    folder = output_folder(args)
    with sole_writer(folder) if state.is_main_process else nullcontext():
        in_parts = InParts(folder, state)
        found = ledger(
            args.model,
            documents,
            facts=read_facts(args.facts) if args.facts else (),
            questions=read(args.questions) if args.questions else None,
            before=args.before,
            others=args.others,
            control=read(args.control) if args.control else None,
            prompt=args.prompt,
            trust_remote_code=args.trust_remote_code,
            wordings=args.wordings,
            num_alternatives=args.num_alternatives,
            rule=args.rule,
            num_samples=args.num_samples,
            seed=args.seed,
            batch_size=args.batch_size,
            max_new_tokens=args.max_new_tokens,
            measured=in_parts,
        )
        if state.is_main_process:
            found.save(folder)
            in_parts.forget()
            record_ledger(args.model)
    return found


class InParts:
    """Measures facts chunk by chunk, by all processes together, and keeps what is measured until it is forgotten.

    What it is kept in has a name of all that it depends on, so that the same command goes on where it was
    stopped, and another one begins anew.

    Args:
        folder: of the ledger.
        state: which of the processes this is.
    """

    def __init__(self, folder: Path, state: PartialState) -> None:
        self._folder, self._state = folder, state

    def __call__(
        self, asked: AskedModel, facts: Sequence[Fact], alternatives: Sequence[Sequence[str]], **options: Any
    ) -> list[Standing]:
        """As `measure`, in every process."""
        told = {name: value for name, value in options.items() if name != "progress"}
        description = describe_model(asked.source or asked.name, asked.model) | {
            "facts": digest([asdict(fact) for fact in facts], 16),
            "alternatives": digest(alternatives, 16),
            "prompt": asked.prompt,
            "chunk": CHUNK,
            "together": TOGETHER,
            **told,
        }
        check_same_everywhere(digest(description), "what the ledger is of", self._state)
        file = GrowingFile(self._folder / f"measured-{digest(description)}.jsonl", description)
        file.begun()
        self._state.wait_for_everyone()  # nothing is written before all have looked

        def measure_share(
            chunk: Dataset, share: tuple[int, int], answered: Callable[[int], object]
        ) -> dict[int, dict[str, Any]]:
            # in the same batches whoever measures them: the last digits owe nothing to the number of processes
            first, step = share
            found: dict[int, dict[str, Any]] = {}
            for begin in range(first * TOGETHER, len(chunk), step * TOGETHER):
                mine = chunk["fact"][begin : begin + TOGETHER]
                of_mine = [facts[each] for each in mine]
                standings = measure(asked, of_mine, [alternatives[each] for each in mine], **told)
                answered(len(mine))
                found |= {row: asdict(standing) for row, standing in enumerate(standings, start=begin)}
            return found

        numbers = Dataset.from_dict({"fact": range(len(facts))})
        ask_in_rounds(
            numbers, file, measure_share, lambda _, found: found, self._state, lambda rows: None, CHUNK, "fact"
        )
        kept = [list(file.rows()) if self._state.is_main_process else None]
        if self._state.num_processes > 1:
            broadcast_object_list(kept)
        return [_standing(row) for row in kept[0] or ()]

    def forget(self) -> None:
        """Remove what was kept, of earlier commands, too: the ledger is written."""
        for kept in self._folder.glob("measured-*"):
            if _KEPT.fullmatch(kept.name):
                kept.unlink()


def _standing(row: dict[str, Any]) -> Standing:
    return Standing(**{**row, "replies": [Reply(**reply) for reply in row["replies"]]})


def ledger(
    model: "str | Path | tuple[PreTrainedModel, PreTrainedTokenizerBase]",
    documents: "str | Path | Dataset",
    *,
    facts: Sequence[Fact] = (),
    questions: Dataset | None = None,
    before: "str | Path | tuple[PreTrainedModel, PreTrainedTokenizerBase] | None" = None,
    others: "Sequence[str | Path | tuple[PreTrainedModel, PreTrainedTokenizerBase]]" = (),
    control: Dataset | None = None,
    prompt: str | None = None,
    trust_remote_code: bool = False,
    **options: Any,
) -> Ledger:
    """What a model makes of the facts of documents: `.rows`, `.summary`, `.show()`, `.save(folder)`.

    Args:
        model: a folder, a name on the Hub, or `(model, tokenizer)`.
        documents: what `load_documents` reads, or a data set with `title` and `text`, and optionally `source`.
        facts, questions, before, others, control: as for `make_ledger`, models as `model`.
        prompt: text with `{question}` in it, or "chat"; None for the mask token of models of this package, and
            `DEFAULT_PROMPT` for others.
        trust_remote_code: whether code that a model brings along may run.
        options: `wordings`, `num_alternatives`, `rule`, `num_samples`, `seed`, `batch_size`, `max_new_tokens`,
            `progress` and `measured` of `make_ledger`.

    Raises:
        ValueError: as `make_ledger`, `load_asked` and `load_documents` do.
    """
    check_options(**options)
    if isinstance(before, str | Path) and isinstance(model, str | Path):
        check_base(str(model), str(before))
    if isinstance(documents, str | Path):
        documents = _titled(documents)
    if not isinstance(documents, Dataset):
        raise ValueError(f"documents are a file, a folder or a data set, not {type(documents).__name__}")
    run = read_run(model) if isinstance(model, str | Path) else Run()
    found = make_ledger(
        _loader(model, prompt, trust_remote_code),
        documents,
        facts=facts,
        questions=questions,
        before=None if before is None else _loader(before, prompt, trust_remote_code),
        others=[_loader(other, prompt, trust_remote_code) for other in others],
        control=control,
        passes=passes_over(run, documents),
        **options,
    )
    trained = {"stages": [_seen(stage) for stage in run.stages]}
    found.summary.update({"training": trained, **run_environment()})
    return found


def _seen(stage: Any) -> dict[str, Any]:
    """How much a stage of training read, as far as its record tells."""
    names = ("stage", "documents", "document_characters", "steps", "global_batch_size", "train_characters")
    return {name: value for name in names if (value := getattr(stage, name)) is not None}


def passes_over(run: Run, documents: Dataset) -> float | None:
    """How often training read the documents: characters read over those there are, of all stages with documents.

    None where no record tells, or where it is of another number of documents.
    """
    read = [stage for stage in run.stages if stage.document_characters and stage.train_characters]
    read = [stage for stage in read if stage.documents == len(documents)]
    if not read:
        return None
    return round(sum(stage.train_characters / stage.document_characters for stage in read), 2)


def _loader(model: Any, prompt: str | None, trust_remote_code: bool) -> Callable[[], AskedModel]:
    if isinstance(model, tuple):
        own = is_of_this_package(model[0].config) and prompt is None
        asked = AskedModel(type(model[0]).__name__, model[0], model[1], None if own else _prompt(prompt))
        return lambda: asked
    return partial(load_asked, model, prompt, trust_remote_code)


def _prompt(prompt: str | None) -> str:
    return CHAT if prompt == CHAT else check_prompt(prompt or DEFAULT_PROMPT)


def load_asked(name: str | Path, prompt: str | None = None, trust_remote_code: bool = False) -> AskedModel:
    """A model of any kind, ready to be asked.

    Raises:
        ValueError: for one that is no causal language model, an adapter whose base does not fit, a prompt without
            a place for the question, or a chat template that the tokenizer has not.
    """
    if not (Path(name) / ADAPTER_FILE).is_file():
        check_causal(name, trust_remote_code)
    model, tokenizer, chosen = load_to_ask(str(name), prompt, trust_remote_code, DEFAULT_PROMPT)
    return AskedModel(Path(name).name, model.to(own_device(PartialState())), tokenizer, chosen, str(name))


def check_causal(name: str | Path, trust_remote_code: bool = False) -> None:
    """Refuse a model that does not go on with a text from left to right.

    Raises:
        ValueError: naming what it is instead; what transformers raises for a name without a model passes through.
    """
    remedy = "Read it first; if you trust it, say so with --trust_remote_code true"
    config = from_pretrained(AutoConfig, name, remedy=remedy, trust_remote_code=trust_remote_code)
    kinds = list(config.architectures or [])
    causal = [kind for kind in kinds if "CausalLM" in kind or "LMHead" in kind]
    several = [kind for kind in kinds if "ConditionalGeneration" in kind and not config.is_encoder_decoder]
    if config.is_encoder_decoder or (kinds and not causal and not several):
        raise ValueError(
            f"{name} is {' and '.join(kinds) or config.model_type}, no causal language model: a ledger needs one "
            "that goes on with a text from left to right"
        )


def check_each_once(model: str, before: str | None, others: Sequence[str]) -> None:
    """Refuse a model that is to be compared with itself, or another one that would count twice.

    Raises:
        ValueError: naming it.
    """
    if again := named_again([model, *([before] if before else []), *others]):
        raise ValueError(
            f"{again} is named more than once among --model, --before and --others, which are different "
            "models: leave it out"
        )


def check_base(model: str, before: str) -> None:
    """Refuse to compare an adapter with a model that it was not trained on.

    Raises:
        ValueError: naming both.
    """
    path = Path(model) / ADAPTER_FILE
    if not path.is_file():
        return
    base = str(json.loads(path.read_text(encoding="utf-8")).get("base_model_name_or_path"))
    alike = base == before or (Path(base).exists() and Path(base).resolve() == Path(before).resolve())
    if not alike:
        raise ValueError(f"--before {before}: the adapter in {model} is for another base, {base}")


_LEAST = {"wordings": 1, "num_alternatives": 0, "num_samples": 0, "batch_size": 1, "max_new_tokens": 1}


def check_options(rule: str | None = None, **options: Any) -> None:
    """Refuse numbers out of their range, and a rule that there is not.

    Raises:
        ValueError: naming the option.
    """
    for name, least in _LEAST.items():
        if options.get(name, least) < least:
            raise ValueError(f"--{name} must be at least {least}, not {options[name]}")
    if rule is not None and rule not in RULES:
        raise ValueError(f"--rule {rule!r} is none of {', '.join(RULES)}")


def output_folder(args: LedgerArguments) -> Path:
    """Where the ledger is written."""
    return Path(args.output_dir or Path(args.model) / FOLDER)


def checks(args: LedgerArguments) -> list[Callable[[], object]]:
    """All that can be said of the flags before a model is read."""
    inputs = [(name, getattr(args, name)) for name in ("documents", "questions", "facts", "control")]
    folder = output_folder(args)

    def check_output() -> None:
        if args.output_dir is None and not Path(args.model).is_dir():
            raise ValueError(
                f"--model {args.model} is no folder here: mistyped, or the name of a model that is not a "
                "folder of yours; say with --output_dir where to write about that one"
            )
        check_outputs([folder / name for name in LEDGER_FILES], inputs)
        check_inputs_outside(folder, inputs)
        check_output_outside(folder, "documents", args.documents)
        if args.output_dir is not None:
            check_outside_model(args.model, [folder / name for name in LEDGER_FILES])

    def check_documents() -> None:
        if args.documents is None:
            run = read_run(args.model)
            if not any(stage.corpus for stage in run.stages):
                raise ValueError("the model's record names no documents: say which with --documents")

    def check_control() -> None:
        if args.control is not None and args.before is None:
            raise ValueError("--control has no effect: what was forgotten needs --before, the model as it was")

    return [
        lambda: check_recordable(folder),
        lambda: check_options(**{name: getattr(args, name) for name in ("rule", *_LEAST)}),
        *(partial(check_is_model, name) for name in (args.before, *args.others) if name is not None),
        lambda: None if args.prompt is None else _prompt(args.prompt),
        check_output,
        check_documents,
        check_control,
        lambda: check_each_once(args.model, args.before, args.others),
        lambda: check_base(args.model, args.before) if args.before else None,
        lambda: _titled(args.documents) if args.documents else None,
        lambda: read_facts(args.facts) if args.facts else None,
        lambda: load_question_file(args.questions) if args.questions else None,
        lambda: load_question_file(args.control) if args.control else None,
    ]


def _titled(path: str | Path) -> Dataset:
    """The documents of a file or folder, each with a title where it has one."""
    return with_titles(load_documents(path))
