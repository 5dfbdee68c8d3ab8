"""Pretraining: documents, and questions where the objectives name `question_answering`, into a model folder."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback

from closedbook.data.mixture import Component
from closedbook.data.objectives.table import IRREGULAR_RECORDS, QUESTIONS, check_objectives, written_by
from closedbook.data.people.on_demand import SAMPLED, BiographyDocuments
from closedbook.data.question_files import self_rows
from closedbook.data.questions import check_fit
from closedbook.data.tables.stream import Stream
from closedbook.data.writing.fit import check_fit_in_tokens, check_special_tokens
from closedbook.data.writing.text_forms import check_text_forms
from closedbook.data.writing.tokenizers import CHARACTERS
from closedbook.evaluation.run_record import Run, Stage
from closedbook.training.arguments import (
    AdapterArguments,
    BaseArguments,
    ClosedbookTrainingArguments,
    CorpusArguments,
    ModelArguments,
    PopulationArguments,
    ProbeArguments,
    PromptArguments,
    QuestionArguments,
    ReadingArguments,
    RegularisationArguments,
    ReplayArguments,
    RewriteArguments,
)
from closedbook.training.bases.adapters import check_adapter
from closedbook.training.bases.defaults import OBJECTIVES, adapt_to_pretrained, named
from closedbook.training.bases.learners import (
    Learner,
    Read,
    check_base,
    new_learner,
    pretrained_learner,
    teach_template,
)
from closedbook.training.bases.loading import check_is_model, context_length
from closedbook.training.bases.replay import check_replay, read_replay, replayed
from closedbook.training.bases.rewriting import check_rewriting, with_rewritten
from closedbook.training.checks.effect import (
    check_effect_of_corpus,
    check_effect_of_model,
    check_effect_of_questions,
    given,
    refuse,
)
from closedbook.training.checks.machine import check_memory
from closedbook.training.checks.outputs import check_inputs_outside, check_output_outside
from closedbook.training.command_line import parse_settings
from closedbook.training.documents import Corpus, check_corpus, read_corpus, with_readings
from closedbook.training.models import build_config, model_name
from closedbook.training.objective_shares import parse_objectives
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
from closedbook.training.trainer import apply_dropout, check_rows, count_steps, prepare_run, train
from closedbook.training.watching.probing import check_probes, probes_of

ARGUMENTS = (
    BaseArguments,
    PromptArguments,
    AdapterArguments,
    ReplayArguments,
    RewriteArguments,
    ProbeArguments,
    ModelArguments,
    RegularisationArguments,
    PopulationArguments,
    CorpusArguments,
    ReadingArguments,
    QuestionArguments,
    ClosedbookTrainingArguments,
)


# Documents that are looked at, to count those that an objective cannot treat: each is searched for entities.
LOOKED_AT = 20_000
_STRETCHES = 20  # of the corpus, in which these documents stand


@dataclass(kw_only=True)
class PretrainingSettings:
    """All that one run of pretraining depends on; each field a group of flags, in the order of `ARGUMENTS`."""

    base: BaseArguments = field(default_factory=BaseArguments)
    prompt: PromptArguments = field(default_factory=PromptArguments)
    adapter: AdapterArguments = field(default_factory=AdapterArguments)
    replay: ReplayArguments = field(default_factory=ReplayArguments)
    rewriting: RewriteArguments = field(default_factory=RewriteArguments)
    probe: ProbeArguments = field(default_factory=ProbeArguments)
    model: ModelArguments = field(default_factory=ModelArguments)
    regularisation: RegularisationArguments = field(default_factory=RegularisationArguments)
    people: PopulationArguments = field(default_factory=PopulationArguments)
    corpus: CorpusArguments = field(default_factory=CorpusArguments)
    reading: ReadingArguments = field(default_factory=ReadingArguments)
    questions: QuestionArguments = field(default_factory=QuestionArguments)
    training: ClosedbookTrainingArguments
    recipe: str | None = None

    @classmethod
    def parse(cls, argv: Sequence[str] = (), **values: Any) -> "PretrainingSettings":
        """From flags, as the command line has them, and then from values by the same names, which win.

        Raises:
            ValueError: as `parse_arguments` does.
        """
        return parse_settings(cls, ARGUMENTS, argv, values)


def main(argv: Sequence[str]) -> Run:
    settings = PretrainingSettings.parse(argv)
    run = pretrain(settings)
    folder, stage = settings.training.output_dir, run.last
    print(f"saved {folder}: {stage.parameters:,} parameters, eval loss {stage.eval_loss:.3f}")
    return run


def pretrain(
    settings: PretrainingSettings, corpus: Corpus | None = None, callbacks: Sequence[TrainerCallback] = ()
) -> Run:
    """Train a model on documents, a new one or `--model`, and write its folder; returns the record written there.

    Args:
        settings: what to train on what, and where to write.
        corpus: documents made by the caller, in place of those that `settings.corpus` names.
        callbacks: of the caller, for the library's Trainer.

    Raises:
        ValueError: for settings that contradict each other or do not fit the documents, before anything slow.
    """
    args, asked = settings.training, settings.questions
    least = 0
    if settings.base.model is not None:
        least = adapt_to_pretrained(args, settings.adapter)
        if "objectives" not in named(settings.corpus):
            settings.corpus.objectives = list(OBJECTIVES)
    shares = parse_objectives(settings.corpus.objectives)
    objectives = [share.objective for share in shares]
    checkpoint = prepare_run(args, *checks(settings, objectives, corpus is not None))
    if corpus is None:
        corpus = read_corpus(settings.corpus, settings.people, titled=settings.base.model is not None)
    corpus = with_rewritten(settings.rewriting, corpus, args.seed, settings.prompt.trust_remote_code)
    corpus = with_readings(corpus, settings.reading.readings)
    records, callbacks = {}, [*callbacks]
    mixed_in: dict[str, Any] = {"labelled_people": [*corpus.labelled]}
    learned = learnable_questions(asked, settings.people, args.seed) if QUESTIONS in objectives else None
    other = read_replay(settings.replay)
    writing = [*objectives, *(["entity_marks"] if asked.open_book else [])]
    earlier, learner = begin(settings, read_and_written(writing, corpus, other, written_in(learned)))
    if corpus.source is not None:
        corpus.source.forbidden += tuple(map(str, learner.tokenizer.all_special_tokens))
    model, tokenizer = learner.model, learner.tokenizer
    if learned is not None:
        check_questions(learned.questions, learner)
        protocol = "self_questions" if asked.questions == "self" else "mixed"
        if asked.open_book:
            learned, protocol = opened(learned, corpus.records(), learner.block_size), "open_book"
        records[QUESTIONS] = learned.questions.to_list()
        teach_template(learner)
        mixed_in |= {"protocol": protocol, "questions": asked.questions} | learned.recorded()
        mixed_in["labelled_people"] = sorted({*corpus.labelled, *labels_learned(asked, learned)})
        if learned.validation is not None:
            callbacks.append(Answering(learned.validation, tokenizer, learner.prompt))
    is_pretrained = settings.base.model is not None
    context = context_length(model) if is_pretrained else 0
    texts = corpus.records()
    some = texts.spread(SAMPLED) if isinstance(texts, BiographyDocuments) else corpus.documents
    callbacks += probes_of(settings.probe, some, tokenizer, learner.prompt, context, args.seed)
    read = [Stream(corpus.source) if corpus.source else texts for _ in shares]  # a place of its own for each share
    path = settings.corpus.corpus_path or ""
    is_dataset = settings.corpus.corpus == "hub" and not Path(path).exists()
    components = [
        Component(share.objective, records.get(share.objective, documents), **asdict(share))
        for share, documents in zip(shares, read, strict=True)
    ]
    return train(
        model,
        tokenizer,
        replayed(settings.replay, other, components),
        count_steps(args, len(texts), least),
        args,
        checkpoint,
        Stage(
            stage="pretrain",
            model=model_name(model.config),
            base_model=settings.base.model,
            recipe=settings.recipe,
            corpus=settings.corpus.corpus,
            objectives=settings.corpus.objectives,
            dataset=path.partition("?")[0] if is_dataset else None,
            irregular_documents=count_irregular(objectives, texts, is_stream=corpus.source is not None),
            **corpus.counts(texts),
            arguments=(
                asdict(settings.model) if settings.base.model is None else {"block_size": learner.block_size}
            )
            | asdict(settings.regularisation)
            | corpus.arguments
            | (asdict(asked) if records else {})
            | {
                name: value
                for group in (
                    settings.adapter,
                    settings.replay,
                    settings.rewriting,
                    settings.probe,
                    settings.reading,
                )
                for name, value in told(group).items()
            },
            **learner.recorded(),
            **mixed_in,
        ),
        earlier,
        callbacks=callbacks,
        block_size=learner.block_size,
        writer=learner.writer,
    )


def read_and_written(objectives: list[str], corpus: Corpus, other: Corpus | None, questions: list[str]) -> Read:
    """All that a model is to read and write: documents, the text of a replay, questions, and words of
    objectives."""
    corpora = [corpus, *([other] if other else [])]
    more = [questions, written_by(objectives, corpus.characters)]
    return Read([*(each.texts for each in corpora), *more], [*(each.characters for each in corpora), *more])


def begin(settings: PretrainingSettings, read: Read) -> tuple[Run, Learner]:
    """What is trained: the record so far, and the model with its tokenizer.

    Args:
        settings: of the run.
        read: all that is read and written.
    """
    if settings.base.model is None:
        return Run(), new_learner(settings.model, settings.regularisation, settings.base.tokenizer, read)
    run = read_base_run(settings.base.model)
    learner = pretrained_learner(
        settings.base.model, run, settings.prompt, settings.adapter, settings.model.block_size
    )
    check_special_tokens(learner.tokenizer, read.all_texts())
    apply_dropout(learner.model, settings.regularisation)
    return run, learner


def told(args: Any) -> dict[str, Any]:
    """What was given of a group of flags, for a record that says nothing of what was not used."""
    return {name: getattr(args, name) for name in sorted(given(args))}


def check_questions(questions: Dataset, learner: Learner) -> None:
    """Refuse questions that do not fit the block, or that the tokenizer does not keep.

    Raises:
        ValueError: naming up to five of them.
    """
    if learner.writer is None:
        check_fit(as_taught(questions), block_size=learner.block_size, vocabulary=learner.tokenizer.get_vocab())
    else:
        check_fit_in_tokens(as_taught(questions), learner.writer, block_size=learner.block_size)


def as_taught(questions: Dataset) -> Dataset:
    """Each question with each answer that it may be taught with: of those that a reader answered, all
    candidates."""
    if "candidates" not in questions.column_names:
        return questions
    rows = [row | {"answers": [answer]} for row in questions for answer in row["candidates"]]
    return Dataset.from_list(rows, features=questions.features)


def checks(settings: PretrainingSettings, objectives: list[str], has_corpus: bool) -> list[Callable[[], object]]:
    """All that can be said of the settings before anything is read.

    Args:
        settings: of the run.
        objectives: their names.
        has_corpus: whether the caller brings the documents.
    """
    corpus, asked = settings.corpus, settings.questions
    asks = QUESTIONS in objectives
    base, replay = settings.base, settings.replay
    inputs = [
        ("corpus_path", corpus.corpus_path),
        ("replay_path", replay.replay_path),
        ("rewrite_path", settings.rewriting.rewrite_path),
        ("readings", settings.reading.readings),
        ("model", base.model),
        *question_files(asked),
    ]

    def check_model() -> None:
        if base.model is None:
            check_memory(settings.model.num_hidden_layers * 12 * settings.model.hidden_size**2)
            build_config(settings.model, settings.regularisation, vocab_size=8)
            check_effect_of_model(settings.model)
        else:
            check_is_model(base.model)
            check_text_forms(objectives)
            if corpus.extra_characters is not None:
                raise ValueError(f"--extra_characters has no effect: {base.model} has its own tokenizer")

    found: list[Callable[[], object]] = [
        lambda: check_sources(objectives, corpus, asked),
        check_model,
        lambda: check_base(base, settings.model, settings.prompt),
        lambda: check_adapter(settings.adapter, base.model),
        lambda: check_replay(replay),
        lambda: check_readings(settings.reading.readings, objectives, corpus),
        lambda: check_rewriting(settings.rewriting, corpus.corpus_path),
        lambda: check_probes(settings.probe, base.model is not None),
        lambda: check_rows(settings.training.row_length, settings.model.block_size),
        lambda: check_inputs_outside(settings.training.output_dir, inputs),
        lambda: check_output_outside(settings.training.output_dir, "corpus_path", corpus.corpus_path),
        lambda: check_output_outside(settings.training.output_dir, "replay_path", replay.replay_path),
    ]
    if asks:
        found.append(lambda: check_effect_of_questions(asked, None))
        found.append(lambda: check_open_book(asked, base, corpus))
    if not has_corpus:
        found.append(lambda: check_corpus(corpus))
        found.append(lambda: check_streaming(settings))
        about_people = asks and asked.questions == "biographies"
        found.append(lambda: check_asked(settings.people, about_people))
        found.append(lambda: check_effect_of_corpus(corpus, settings.people, about_people))
    return found


def check_open_book(asked: QuestionArguments, base: BaseArguments, corpus: CorpusArguments) -> None:
    """Refuse readers of what is not built: other tokens than characters, answers that are no part of a text, and
    documents that nobody can look up.

    Raises:
        ValueError: naming the flag.
    """
    if not asked.open_book:
        return
    if base.model is not None or base.tokenizer != CHARACTERS:
        raise ValueError(
            "--open_book numbers the entities of a text in characters: leave out --model and --tokenizer"
        )
    if corpus.streaming:
        raise ValueError("--open_book looks documents up, which a stream does not allow: leave out --streaming")
    check_can_be_opened(asked)


def check_readings(path: str | None, objectives: Sequence[str], corpus: CorpusArguments) -> None:
    """Refuse answers of readers that nothing is made of, or a file that is none of theirs.

    Raises:
        ValueError: naming the flag, or the line of the file.
    """
    if path is None:
        return
    if not {"place_sequence", "place_company"} & set(objectives):
        raise ValueError(
            "--readings has no effect: only place_sequence and place_company read it, which are no objectives here"
        )
    if QUESTIONS in objectives:
        raise ValueError(
            "--readings is for documents alone: with questions among them, give it as --questions self"
        )
    if corpus.streaming or corpus.corpus == "biographies":
        raise ValueError("--readings looks titles up in documents of a file that are held: it fits no other ones")
    for _ in self_rows(path):
        pass


def check_streaming(settings: PretrainingSettings) -> None:
    """Refuse what needs all documents before the first, where they are streamed.

    Raises:
        ValueError: with one line a flag.
    """
    if not settings.corpus.streaming:
        return
    lines = []
    if settings.training.max_steps <= 0:
        lines.append("--streaming needs --max_steps: a stream has no number of documents to make epochs of")
    if settings.base.model is None and settings.base.tokenizer == CHARACTERS:
        lines.append(
            "--streaming cannot learn all characters of a corpus beforehand: give --tokenizer train:bpe:8192 "
            "(bytes, learned from the stream's begin), a folder or a Hub name"
        )
    if settings.rewriting.rewrite_with is not None:
        lines.append("--rewrite_with goes through all documents beforehand: leave --streaming out")
    refuse(lines)


def written_in(learned: Learnable | None) -> list[str]:
    """What has to be read and written to learn the questions mixed in; special tokens are left for `check_fit`."""
    if learned is None:
        return []
    answers = [answers[0] for answers in as_taught(learned.questions)["answers"][:] if answers]
    held_out = [] if learned.validation is None else learned.validation["question"][:]
    return [*learned.questions["question"][:], *answers, *held_out]


def check_asked(people: PopulationArguments, about_people: bool) -> None:
    """Refuse more people than can be asked about, and a number of them where nobody is.

    Raises:
        ValueError: naming the flag.
    """
    if about_people:
        check_asked_people(people, "biographies")
    elif people.num_asked_people is not None:
        raise ValueError(
            f"--num_asked_people has no effect: --objectives has no share of {QUESTIONS} about people"
        )


def check_sources(objectives: list[str], corpus: CorpusArguments, questions: QuestionArguments) -> None:
    """Refuse unknown objectives, ones without anything to read, and questions that no objective would read.

    Raises:
        ValueError: saying what is unknown or missing.
    """
    check_objectives(objectives)
    asks = QUESTIONS in objectives
    if objectives == [QUESTIONS]:
        raise ValueError(f"{QUESTIONS} alone is no pretraining: add one for documents, or use finetune.py")
    if asks and (questions.questions == "biographies") != (corpus.corpus == "biographies"):
        raise ValueError(
            f"the corpus is {corpus.corpus}, but the questions of {QUESTIONS} are {questions.questions}: "
            "give --questions and --train_questions that belong to the corpus"
        )
    unread = sorted(given(questions)) if not asks else []
    if unread:
        raise ValueError(f"--{unread[0]} is given, but no share of {QUESTIONS} in --objectives reads it")


def count_irregular(
    objectives: list[str], documents: Sequence[dict[str, Any]], is_stream: bool = False
) -> dict[str, int]:
    """How many documents each objective cannot treat as it is meant to; its docstring says what they become.

    Of many documents some thousand are looked at, from all of the corpus alike (of a stream, those at its begin),
    and the number is what they say of all (of a stream, of themselves).
    """
    total, names = len(documents), [name for name in objectives if name in IRREGULAR_RECORDS]
    looked = total
    if names and total > LOOKED_AT:
        # whole stretches of a table: of a mapped file the system reads the neighbours of a record, too
        starts = [number * total // _STRETCHES for number in range(_STRETCHES)]
        documents = [documents[start + place] for start in starts for place in range(LOOKED_AT // _STRETCHES)]
        looked = LOOKED_AT
    counts = {name: round(IRREGULAR_RECORDS[name](documents) * total / looked) for name in names}
    some = (
        f" (told from {looked:,} of them)"
        if looked < total
        else " at the begin of the stream"
        if is_stream
        else ""
    )
    for name, count in counts.items():
        if count:
            print(
                f"{name}: {count} of {total} documents fall back{some}: they have no title, or nothing beside it "
                "that this objective asks for, and are read otherwise (docs/own-documents.md, Objectives)",
                file=sys.stderr,
            )
    return counts
