"""What `knowing.py` asks: four groups of questions, put together from flags and from the model's run file."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any

from datasets import Dataset, concatenate_datasets

from closedbook.data.people.invented import ask_about, invent_people
from closedbook.data.people.on_demand import SAMPLED, BiographyDocuments
from closedbook.data.question_format import QUESTION_FEATURES
from closedbook.data.questions import entity_key, find_overlap, remove_overlap, split_by_entity
from closedbook.evaluation.answering.confidence import CONFIDENCES
from closedbook.evaluation.knowing.familiarity import COMBINED, FAMILIARITY
from closedbook.evaluation.run_record import Run, Stage, read_run
from closedbook.training.arguments import PopulationArguments, QuestionArguments
from closedbook.training.asking.strangers import Strangers, gather_strangers
from closedbook.training.command_line import as_flags
from closedbook.training.documents import documents_read
from closedbook.training.keeping.resuming import FREE
from closedbook.training.question_sets import ask_about_people, read_questions, training_questions

DEFAULT_SPLIT = "test"  # of the biographies
_ALIKE = (
    "stage",
    "model",
    "seed",
    "base_model",
    "questions",
    "prompt",
    "parameters",
)  # of models that are cross-fitted


@dataclass
class KnowingArguments:
    """What to ask whom, what to promise, and where to write."""

    model: str = field(metadata={"help": "folder of the model"})
    prompt: str | None = field(
        default=None,
        metadata={"help": "ask so, with {question} in it, or chat; default: as the model was taught"},
    )
    trust_remote_code: bool = field(default=False, metadata={"help": "run code that the model brings along"})
    questions: str = field(default="biographies", metadata={"help": "biographies, cs224n or file"})
    question_file: str | None = field(default=None, metadata={"help": "the questions to report on"})
    split: str | None = field(
        default=None, metadata={"help": "biographies: whom to report on (default: test); else its name in results"}
    )
    train_questions: str | None = field(
        default=None, metadata={"help": "file of the questions that the model was fine-tuned on"}
    )
    calibration_questions: str | None = field(
        default=None,
        metadata={
            "help": "questions about people whom no training asked about, to fit temperature and threshold on; "
            "default: the people that --validation_share kept out of training"
        },
    )
    corpus: str | None = field(
        default=None, metadata={"help": "kind of the pretraining text; default: as the model's run file says"}
    )
    corpus_path: str | None = field(default=None, metadata={"help": "file of the pretraining text; likewise"})
    num_trained: int = field(default=200, metadata={"help": "how many of the fine-tuning questions to ask"})
    num_invented: int = field(
        default=0, metadata={"help": "how many invented people to ask about; 0: as many as are reported on"}
    )
    max_error_rate: float = field(
        default=0.1,
        metadata={
            "help": "promised share of wrong answers among those given, which sets the threshold. One "
            "in ten is strict enough to be of use, and in reach of models that are right a third of the time"
        },
    )
    confidence: str = field(
        default="sequence_probability",
        metadata={
            "help": "the one that the promise is about: "
            + ", ".join((*CONFIDENCES, FAMILIARITY, COMBINED))
            + ". It is named beforehand, and not chosen on the people who have to prove it"
        },
    )
    max_stranger_rate: float | None = field(
        default=None,
        metadata={
            "help": "promised share of strangers that get an answer, beside --max_error_rate; takes a confidence "
            "that can tell them, such as combined. Default: nothing is promised of strangers"
        },
    )
    num_strangers: int = field(
        default=0,
        metadata={
            "help": "how many strangers of each other kind (altered, foreign, things) to ask about; 0: a quarter "
            "of the invented people"
        },
    )
    strangers_file: str | None = field(
        default=None,
        metadata={"help": "names of others, one a line, whom the corpus has no word about: a kind of their own"},
    )
    cross_fitted: list[str] = field(
        default_factory=list,
        metadata={
            "help": "models fine-tuned like this one, each with another --validation_fold: what is fitted and "
            "proven is so on the people whom each of them has never been asked about"
        },
    )
    base_model: str | None = field(
        default=None,
        metadata={"help": "what this model was taught from: familiarity is then what it has learned beyond that"},
    )
    seed: int = field(
        default=0, metadata={"help": "of samples, invented people, and which trained ones are asked"}
    )
    output_dir: str | None = field(default=None, metadata={"help": "default: <model>/knowing"})
    batch_size: int = field(default=64, metadata={"help": "questions decoded at once"})
    max_new_tokens: int = field(
        default=32, metadata={"help": "longest answer, in tokens (characters, in models of ours)"}
    )


@dataclass(frozen=True)
class Asked:
    """Who is asked about, and what the model may have learned.

    Attributes:
        asked: the questions to report on.
        held_out: those to fit on; they share no entity with anything else here, but with `trained` where they are
            asked of other models.
        folds: where these are asked of models trained like this one: by folder, the part that each of them was
            not trained on. Empty where this model is asked.
        trained: all questions that the model was fine-tuned on.
        invented: about people who do not exist; no accepted answers.
        strangers: of other kinds, and those that something is fitted on.
        documents: the pretraining text, or all of it that matters to those asked about.
        calibration: one sentence: where the held-out people come from.
    """

    asked: Dataset
    held_out: Dataset
    folds: dict[str, Dataset]
    trained: Dataset | None
    invented: Dataset
    strangers: Strangers
    documents: Dataset
    calibration: str


def recorded_flags(run: Run) -> list[str]:
    """What a record tells of people and questions, as flags to be read before those that the user typed."""
    names = ["questions", "train_questions", *(item.name for item in fields(PopulationArguments))]
    told = {}
    for stage in run.stages:
        told |= {name: stage.arguments[name] for name in names if stage.arguments.get(name) not in (None, [])}
    return as_flags(told)


def recorded_people(run: Run) -> PopulationArguments:
    """The synthetic people whom a model was trained on, as its record tells; else the default ones."""
    names = {item.name for item in fields(PopulationArguments)}
    told: dict[str, Any] = {}
    for stage in run.stages:
        told |= {name: stage.arguments[name] for name in names if stage.arguments.get(name) not in (None, [])}
    return PopulationArguments(**told)


def check_population(people: PopulationArguments, run: Run) -> None:
    """Refuse to ask a model about synthetic people other than those it was trained on.

    Raises:
        ValueError: naming the flag, what the run says and what was given; or if it was trained on none.
    """
    if run and not any("num_people" in stage.arguments for stage in run.stages):
        raise ValueError(
            "the model's run file tells of no synthetic people: say what to ask, with --questions and "
            "--question_file"
        )
    for stage in run.stages:
        for name in ("num_people", "population_seed"):
            before, now = stage.arguments.get(name), getattr(people, name)
            if before is not None and before != now:
                raise ValueError(
                    f"--{name} {now} makes other people than the model was trained on, who have {name} {before}: "
                    "leave the flag out, the run file tells it"
                )
        before, now = stage.arguments.get("num_asked_people"), people.num_asked_people
        if stage.questions == "biographies" and before != now:
            raise ValueError(
                f"--num_asked_people {now} divides the people otherwise than the model was trained on, with "
                f"{'all of them' if before is None else before}: leave the flag out, the run file tells it"
            )


def gather(args: KnowingArguments, people: PopulationArguments, run: Run) -> Asked:
    """Read and invent all questions, and make sure that the groups do not meet.

    Raises:
        ValueError: if nobody was held out, a group meets another, or a file is missing; with what to do about it.
    """
    if args.questions == "biographies":
        check_population(people, run)
    asked = (
        ask_about_people(people, args.split or DEFAULT_SPLIT)
        if args.questions == "biographies"
        else read_questions(args.questions, args.question_file)
    )
    documents = documents_read(run, args.corpus, args.corpus_path, people)
    folds: dict[str, Dataset] = {}
    if args.cross_fitted:
        trained, folds, calibration = cross_fitted_people(args, people, run)
        folds = {name: remove_overlap(_merged(part), asked)[0] for name, part in folds.items()}
        held_out = concatenate_datasets(list(folds.values()))
    else:
        trained, held_out, calibration = trained_and_held_out(args, people, run)
        held_out, _ = remove_overlap(_merged(held_out), asked)
    unknown = run.unknown_people
    refused = sorted(set(map(entity_key, unknown)) & set(map(entity_key, asked["entity"][:])))
    if refused:
        raise ValueError(
            f"the model was trained to know nothing about {len(refused)} of those asked: {refused[:5]}"
        )
    parts = [part for part in (asked, held_out, trained) if part is not None]
    texts = [text for part in parts for text in (*part["question"][:], *part["entity"][:])]
    names = invent_people(documents, args.num_invented or len(asked), seed=args.seed, taken=[*texts, *unknown])
    worded = asked if trained is None else trained
    invented = ask_about(names, worded, answers=[], seed=args.seed)
    strangers = gather_strangers(args, documents, names, [*texts, *unknown], worded)
    if isinstance(documents, BiographyDocuments):
        documents = documents_about([name for part in parts for name in part["entity"][:]], documents)
    return Asked(asked, held_out, folds, trained, invented, strangers, documents, calibration)


def documents_about(names: Iterable[str], documents: BiographyDocuments) -> Dataset:
    """Of more documents than can be looked through, all that tell of these people, and some about others.

    Nobody else's documents name them, and none names strangers, so that what can be read about anybody asked
    is all here. The column `number` says where a document stands among all.

    Args:
        names: of those asked about; strangers may be among them.
        documents: about all people.
    """
    places = [documents.population.place(name) for name in dict.fromkeys(names)]
    parts = [*(documents.about(place) for place in places if place is not None), documents.spread(SAMPLED)]
    numbers = [number for part in parts for number in part.rows]
    columns = {name: [record[name] for part in parts for record in part] for name in ("title", "text")}
    return Dataset.from_dict(columns | {"number": numbers})


def cross_fitted_people(
    args: KnowingArguments, people: PopulationArguments, run: Run
) -> tuple[Dataset | None, dict[str, Dataset], str]:
    """The questions trained on, those to ask of each model of `--cross_fitted`, and a sentence that says so.

    Raises:
        ValueError: for a model that is not trained like this one, keeps nobody out, or keeps somebody out whom
            another one keeps out, too: that would count as two people.
    """
    trained = _trained_on(args, people, run)
    folds: dict[str, Dataset] = {}
    kept_out: dict[str, str] = {}
    for name in args.cross_fitted:
        other = read_run(name)
        refuse_unlike(args.model, run, name, other)
        part = trained_and_held_out(replace(args, calibration_questions=None), people, other)[1]
        for key in sorted(set(map(entity_key, part["entity"][:]))):
            if key in kept_out:
                raise ValueError(
                    f"--cross_fitted: {kept_out[key]} and {name} both keep {key!r} out: give each of them another "
                    "--validation_fold of the same --validation_share and --seed"
                )
            kept_out[key] = name
        folds[name] = part
    told = f"training people, each asked of that one of {len(folds)} models which was not trained on them"
    return trained, folds, told


def refuse_unlike(model: str, run: Run, name: str, other: Run) -> None:
    """Refuse a model that stands for another one without being trained like it, but for whom it kept out.

    Raises:
        ValueError: naming what differs.
    """
    differing = [] if run.stages[:-1] == other.stages[:-1] else ["the stages before"]
    one, two = run.last, other.last
    differing += [
        f"{part} ({getattr(one, part)}, there {getattr(two, part)})"
        for part in _ALIKE
        if getattr(one, part) != getattr(two, part)
    ]
    names = one.arguments.keys() & two.arguments.keys() - {"validation_share", "validation_fold"} - FREE
    differing += sorted(key for key in names if one.arguments[key] != two.arguments[key])
    if differing:
        raise ValueError(
            f"--cross_fitted: {name} was not trained like {model}; what differs: "
            + ", ".join(dict.fromkeys(differing))
        )


def trained_and_held_out(
    args: KnowingArguments, people: PopulationArguments, run: Run
) -> tuple[Dataset | None, Dataset, str]:
    """The questions trained on, those about people kept out of training, and a sentence that says which these are.

    The record names the people whom `--validation_share` kept out; the number of questions that it says were
    trained on is the check that the questions given are those of the run.

    Raises:
        ValueError: if no people were kept out and no file of other people is given; or if the training questions
            are not those of the run.
    """
    learning = _learning(run)
    splits = _splits(args, people, learning)
    trained = _all_trained(splits)
    if args.calibration_questions:
        kind = "file" if args.questions == "biographies" else args.questions
        held_out = read_questions(kind, args.calibration_questions)
        if trained is not None:
            shared = find_overlap(trained, held_out)
            if shared:
                raise ValueError(
                    f"{args.calibration_questions} asks about {len(shared)} people whom the model was trained to "
                    f"answer about, such as {shared[0]}: what is fitted on them would be too sure. Leave them out"
                )
        return trained, held_out, "people of a file of questions of its own"
    held_out_parts = [part for _, part in splits]
    if not splits or None in held_out_parts:
        raise ValueError(
            "the model's run file records nobody who was kept out of all training on questions, so there is "
            "nobody to fit temperature and threshold on. Give other people's questions with "
            "--calibration_questions, or fine-tune with --validation_share 0.2, which keeps a fifth of the "
            "training people out and records it"
        )
    held_out = held_out_parts[0]
    for other in held_out_parts[1:]:
        keys = set(map(entity_key, other["entity"][:]))
        held_out = held_out.filter(lambda row, keys=keys: entity_key(row["entity"]) in keys)
    if len(held_out) == 0:
        raise ValueError("each stage of training kept other people out, and nobody was kept out of all of them")
    shares = ", ".join(f"{stage.arguments['validation_share']:g} by seed {stage.seed}" for stage in learning)
    return trained, held_out, f"training people that were kept out of training (share {shares})"


def _trained_on(args: KnowingArguments, people: PopulationArguments, run: Run) -> Dataset | None:
    return _all_trained(_splits(args, people, _learning(run)))


def _learning(run: Run) -> list[Stage]:
    return [stage for stage in run.stages if stage.training_questions is not None]


def _splits(
    args: KnowingArguments, people: PopulationArguments, learning: list[Stage]
) -> list[tuple[Dataset, Dataset | None]]:
    if learning and args.questions != "biographies" and args.train_questions is None:
        raise ValueError("the model was trained on questions: give their file with --train_questions")
    source = QuestionArguments(questions=args.questions, train_questions=args.train_questions)
    return [_split_as_recorded(training_questions(source, people), stage) for stage in learning]


def _all_trained(splits: list[tuple[Dataset, Dataset | None]]) -> Dataset | None:
    return _merged(concatenate_datasets([part for part, _ in splits])) if splits else None


def _split_as_recorded(part: Dataset, stage: Stage) -> tuple[Dataset, Dataset | None]:
    """Of all training questions, those a stage trained on, and those it kept out (None where it kept none).

    Raises:
        ValueError: if the questions are not those of the stage.
    """
    excluded = set(map(entity_key, stage.excluded_people))
    part = part.select([row for row, name in enumerate(part["entity"][:]) if entity_key(name) not in excluded])
    validation = None
    share = stage.arguments.get("validation_share", 0)
    if stage.held_out_people:
        held_out = set(map(entity_key, stage.held_out_people))
        keys = list(map(entity_key, part["entity"][:]))
        # until version 0.2 a question in other words than the patterns' was recorded as whom it is about
        whole = list(map(entity_key, part["question"][:]))
        keys = [
            text if text in held_out and key not in held_out else key
            for key, text in zip(keys, whole, strict=True)
        ]
        missing = held_out - set(keys)
        if missing:
            raise ValueError(
                f"the run kept {len(held_out)} people out of training, but the training questions given do not "
                f"ask about {len(missing)} of them, such as {min(missing)}: give --train_questions (or "
                "--num_people and so on) as in the run"
            )
        validation = part.select([row for row, key in enumerate(keys) if key in held_out])
        part = part.select([row for row, key in enumerate(keys) if key not in held_out])
    elif share and stage.held_out_people is None:  # a record of format 1: the names follow from share and seed
        split = split_by_entity(part, {"train": 1 - share, "validation": share}, stage.seed)
        part, validation = split["train"], split["validation"]
    if len(part) != stage.training_questions:
        raise ValueError(
            f"the model was trained on {stage.training_questions} questions, but the training questions given "
            f"come to {len(part)}: give --train_questions (or --num_people and so on) as in the run, so that the "
            "people kept out are the same"
        )
    return part, validation


def _merged(questions: Dataset) -> Dataset:
    """Each question once, with all answers that its rows accept: some people have two (Beijing, then China)."""
    answers: dict[str, dict[str, None]] = {}
    first: dict[str, dict] = {}
    for row in questions.select_columns(list(QUESTION_FEATURES)):
        first.setdefault(row["question"], row)
        answers.setdefault(row["question"], {}).update(dict.fromkeys(row["answers"]))
    rows = [row | {"answers": list(answers[question])} for question, row in first.items()]
    return Dataset.from_list(rows, features=QUESTION_FEATURES)
