"""Fine-tuning: a pretrained model learns to answer questions with no text in front of them."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import AutoModelForCausalLM

from closedbook.data.mixture import Component
from closedbook.data.objectives.reading import marks
from closedbook.data.questions import entity_key
from closedbook.data.tables.records import records_of
from closedbook.evaluation.run_record import Run, Stage
from closedbook.training.arguments import (
    AdapterArguments,
    BookArguments,
    ClosedbookTrainingArguments,
    PopulationArguments,
    PromptArguments,
    QuestionArguments,
    RegularisationArguments,
)
from closedbook.training.bases.adapters import check_adapter
from closedbook.training.bases.defaults import adapt_to_pretrained
from closedbook.training.bases.learners import Learner, pretrained_learner, teach_template
from closedbook.training.bases.loading import check_is_model, starts_in_own_way
from closedbook.training.checks.effect import check_effect_of_questions
from closedbook.training.checks.outputs import check_inputs_outside
from closedbook.training.command_line import parse_settings
from closedbook.training.documents import documents_read
from closedbook.training.models import model_name
from closedbook.training.pretraining import check_questions, told
from closedbook.training.question_sets import (
    Answering,
    Learnable,
    check_asked_people,
    check_can_be_opened,
    labels_learned,
    learnable_questions,
    opened,
    question_files,
)
from closedbook.training.run_folder import read_base_run
from closedbook.training.trainer import apply_dropout, count_steps, prepare_run, train
from closedbook.training.unknown_people import UnknownArguments, add_unknown_people, check_effect_of_unknown


@dataclass
class StartArguments:
    """Where fine-tuning starts."""

    model: str = field(metadata={"help": "folder of the pretrained model"})
    from_scratch: bool = field(default=False, metadata={"help": "random weights: the no-pretraining baseline"})


ARGUMENTS = (
    StartArguments,
    PromptArguments,
    AdapterArguments,
    RegularisationArguments,
    PopulationArguments,
    QuestionArguments,
    BookArguments,
    UnknownArguments,
    ClosedbookTrainingArguments,
)


@dataclass(kw_only=True)
class FinetuningSettings:
    """All that one run of fine-tuning depends on; each field a group of flags, in the order of `ARGUMENTS`."""

    start: StartArguments
    prompt: PromptArguments = field(default_factory=PromptArguments)
    adapter: AdapterArguments = field(default_factory=AdapterArguments)
    regularisation: RegularisationArguments = field(default_factory=RegularisationArguments)
    people: PopulationArguments = field(default_factory=PopulationArguments)
    questions: QuestionArguments = field(default_factory=QuestionArguments)
    book: BookArguments = field(default_factory=BookArguments)
    unknown: UnknownArguments = field(default_factory=UnknownArguments)
    training: ClosedbookTrainingArguments
    recipe: str | None = None

    @classmethod
    def parse(cls, argv: Sequence[str] = (), **values: Any) -> "FinetuningSettings":
        """From flags, as the command line has them, and then from values by the same names, which win.

        Raises:
            ValueError: as `parse_arguments` does.
        """
        return parse_settings(cls, ARGUMENTS, argv, values)


def main(argv: Sequence[str]) -> Run:
    settings = FinetuningSettings.parse(argv)
    run = finetune(settings)
    folder, stage = settings.training.output_dir, run.last
    count = (stage.training_questions or 0) + len(stage.unknown_people)
    print(f"saved {folder}: trained on {count} questions, eval loss {stage.eval_loss:.3f}")
    return run


def finetune(settings: FinetuningSettings) -> Run:
    """Train a model on questions and write its folder; returns the record written there.

    Raises:
        FileNotFoundError: if there is no model to start from.
        ValueError: for settings that contradict each other, or questions that do not fit the model; before
            anything slow.
    """
    start, asked, args = settings.start, settings.questions, settings.training
    model_folder = Path(start.model).resolve()
    least = 0
    if not starts_in_own_way(start.model):
        least = adapt_to_pretrained(args, settings.adapter)
    checkpoint = prepare_run(args, *checks(settings))
    base = read_base_run(start.model)
    learner = pretrained_learner(start.model, base, settings.prompt, settings.adapter, args.row_length)
    model, tokenizer = learner.model, learner.tokenizer
    if start.from_scratch:
        model = AutoModelForCausalLM.from_config(model.config)
    apply_dropout(model, settings.regularisation)
    learned = learnable_questions(asked, settings.people, args.seed)
    teach_template(learner)
    if learned.validation is not None and not start.from_scratch:  # random weights have learned of nobody
        check_unlabelled(base, learned.validation)
        if base.last.protocol in ("mixed", "open_book"):
            check_same_people(base.last, learned.validation, asked.validation_share, args.seed)
    questions, invented = add_unknown_people(
        learned.questions, learned.validation, settings.unknown, asked, settings.people, base, args.seed
    )
    check_questions(questions, learner)
    if asked.open_book:
        learned = open_documents(learned, settings, base, learner)
        questions = learned.questions
    callbacks = (
        [Answering(learned.validation, tokenizer, learner.prompt)] if learned.validation is not None else []
    )
    base_model = model_folder.name if model_folder.exists() else start.model  # whole where it is one on the Hub
    return train(
        model,
        tokenizer,
        [Component("questions", questions.to_list(), "question_answering")],
        count_steps(args, len(questions), least),
        args,
        checkpoint,
        Stage(
            stage="finetune",
            protocol=protocol_of(start, asked, base),
            model=model_name(model.config),
            recipe=settings.recipe,
            base_model=None if start.from_scratch else base_model,
            questions=asked.questions,
            unknown_people=invented,
            arguments=asdict(start)
            | asdict(settings.regularisation)
            | asdict(asked)
            | asdict(settings.unknown)
            | (settings.people.recorded() if asked.questions == "biographies" else {})
            | told(settings.book)
            | told(settings.adapter),
            **learner.recorded(),
            **learned.recorded(),
            labelled_people=labels_learned(asked, learned),
        ),
        Run() if start.from_scratch else base,
        callbacks,
        block_size=learner.block_size,
        writer=learner.writer,
    )


def protocol_of(start: StartArguments, asked: QuestionArguments, base: Run) -> str:
    """How the model came about, in a word of `results.PROTOCOLS`."""
    if asked.open_book:
        return "open_book"
    if asked.questions == "self":
        return "self_questions"
    if start.from_scratch:
        return "no_pretraining"
    if base.last.protocol == "open_book":  # it has learned from questions before, though not in this way
        return "mixed"
    return base.last.protocol or "two_stage"


def open_documents(learned: Learnable, settings: FinetuningSettings, base: Run, learner: Learner) -> Learnable:
    """The questions with their documents in front: those of the pretrained model, or those that flags name.

    Raises:
        ValueError: for a model of other tokens than characters or without those of the numbers, or documents that
            answer none of the questions.
    """
    if learner.writer is not None:
        raise ValueError("--open_book numbers the entities of a text in characters: give a model of characters")
    if unknown := sorted(set(marks(())) - set(learner.tokenizer.get_vocab())):
        raise ValueError(
            f"--open_book numbers the entities of a text, and {settings.start.model} does not know "
            f"{' '.join(unknown)}: pretrain it with the objective entity_marks"
        )
    book = settings.book
    records = records_of(documents_read(base, book.corpus, book.corpus_path, settings.people))
    return opened(learned, records, learner.block_size)


def check_book(asked: QuestionArguments, book: BookArguments, unknown: UnknownArguments) -> None:
    """Refuse documents that nobody opens, and questions about people of whom there is none.

    Raises:
        ValueError: naming the flag.
    """
    if asked.open_book:
        check_can_be_opened(asked)
        if unknown.num_unknown_people:
            raise ValueError("--num_unknown_people has no effect with --open_book: no document is about them")
    elif told(book):
        raise ValueError(f"--{next(iter(told(book)))} has no effect: it needs --open_book")


def checks(settings: FinetuningSettings) -> list[Callable[[], object]]:
    """All that can be said of the settings before anything is read."""
    asked, unknown, output = settings.questions, settings.unknown, settings.training.output_dir
    documents = [("corpus_path", settings.book.corpus_path), ("unknown_corpus_path", unknown.unknown_corpus_path)]
    inputs = [*documents, *question_files(asked)]
    return [
        lambda: check_start(settings.start.model, output),
        lambda: check_inputs_outside(output, inputs),
        lambda: check_effect_of_questions(asked, None if unknown.num_unknown_people else settings.people),
        lambda: check_effect_of_unknown(unknown),
        lambda: check_asked_people(settings.people, asked.questions),
        lambda: check_book(asked, settings.book, unknown),
        lambda: check_adapter(settings.adapter, settings.start.model),
    ]


def check_start(model: str, output: str | None) -> None:
    """Refuse a folder without a model, and an output that would replace it.

    Raises:
        ValueError: if the model lies in the output folder.
        FileNotFoundError: if there is no model.
    """
    folder = Path(model).resolve()
    if Path(output or ".").resolve() in (folder, *folder.parents):
        raise ValueError(f"output_dir {output} holds the model to start from: use another folder")
    check_is_model(model)


def check_unlabelled(base: Run, validation: Dataset) -> None:
    """Refuse to hold out people whose labels stood among what readers answered, which the model learned from.

    Raises:
        ValueError: saying of how many, and what to do.
    """
    labelled = {entity_key(name) for stage in base.stages for name in stage.labelled_people}
    known = {name for name in validation["entity"][:] if entity_key(name) in labelled}
    if known:
        raise ValueError(
            f"{len(known)} people would be held out whose labels the model has learned from what readers answered "
            f"(--readings, --questions self), such as {min(known)}: ask readers that kept them out, too, or hold "
            "nobody out"
        )


def check_same_people(before: Stage, validation: Dataset, validation_share: float, seed: int) -> None:
    """Refuse to hold out people whose questions the model has learned from.

    Args:
        before: the last stage, in which it learned from questions.
        validation: questions about the people who are to be held out now.
        validation_share, seed: by which they were drawn.

    Raises:
        ValueError: with the share and the seed that the pretraining held out.
    """
    share, drawn_by = before.arguments.get("validation_share", 0.0), before.seed
    if before.held_out_people is None:  # a record of format 1 has no names
        same = (share, drawn_by) == (validation_share, seed)
    else:
        same = set(map(entity_key, validation["entity"][:])) == set(map(entity_key, before.held_out_people))
    if not same:
        raise ValueError(
            f"the model was pretrained on questions with validation_share {share} and seed {drawn_by}: with "
            f"validation_share {validation_share} and seed {seed}, people would be held out whom it was trained on"
        )
