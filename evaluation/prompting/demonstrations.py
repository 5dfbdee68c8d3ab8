"""Which solved questions stand before the one that is asked, and in which order.

The demonstrations of a question never ask the same as it does, nor twice the same: two questions are the same if
they differ in letter case, punctuation, white space or the ways of Unicode alone. They are a function of the pool,
the question and the seeds; other questions asked at the same time do not matter.
"""

import random
import unicodedata
from collections.abc import Callable, Sequence

import numpy as np
import scipy  # whose parts are imported when they are used
from datasets import Dataset

from closedbook.evaluation.metrics.answer_match.normalisation import normalize
from closedbook.evaluation.prompting.embedders import Embedder, TfidfEmbedder

SELECTIONS = ("random", "fixed", "nearest", "bm25", "diverse")
ORDERS = ("near_last", "near_first", "shuffled")

# How much nearness to the question counts in "diverse", the rest being distance from what is chosen already.
# Carbonell and Goldstein (1998) survey a subject with .3 and narrow it down with .7. Demonstrations are few and
# meant to be near: at .5 the second one has mostly nothing to do with the question any more.
RELEVANCE = 0.7

# Similarities that agree to this many decimals are ties. Rounding errors of float32 are a hundred times smaller.
_DECIMALS = 5


def select_demonstrations(
    pool: Dataset,
    questions: Sequence[str],
    num_shots: int,
    *,
    selection: str,
    order: str = "near_last",
    seed: int = 0,
    order_seed: int = 0,
    embedder: Embedder | None = None,
) -> list[list[int]]:
    """Rows of the pool for every question, in the order of the prompt: the last one stands before the question.

    Args:
        pool: Solved questions, as `load_question_file` gives them: columns `question` and `answers`. Where several
            rows ask the same, the first one is used.
        questions: What is asked.
        num_shots: Demonstrations a question. A smaller number gives a part of a larger one's.
        selection: One of `SELECTIONS`.
            - "random": one draw a seed for all questions, so that they share the beginning of their prompts, which
              can then be read once; the spread over seeds is the luck of the prompt. A question that is itself in
              the draw gets the next row of the draw instead.
            - "fixed": the first rows of the pool.
            - "nearest": those whose questions are the most similar by embedding (Liu et al. 2022).
            - "bm25": those with the highest BM25 score (Robertson et al. 1994).
            - "diverse": maximal marginal relevance (Carbonell and Goldstein 1998) over the embeddings: one after
              the other, similar to the question but not to those chosen before, see `RELEVANCE`.
            Ties go to the earlier row.
        order: One of `ORDERS`. "near_last", the default, puts the most similar one right before the question;
            "near_first" is its reverse. "random" and "fixed" know no nearness: there the two are the order of the
            draw or the pool, and its reverse. "shuffled" permutes "near_last" by `order_seed` alone, hence in the
            same way for every question.
        seed: Of the draw of "random"; the other selections do not draw.
        order_seed: Of "shuffled".
        embedder: For "nearest" and "diverse"; TF-IDF over the questions of the pool where none is given.

    Raises:
        ValueError: For an unknown name, a negative number, a pool with too few other questions or with a row
            without an answer (all before anything is embedded), and for an embedder that gives anything but one
            finite vector a text.
        ModuleNotFoundError: Without the library that a selection needs.
    """
    for name, value, known in (("selection", selection, SELECTIONS), ("order", order, ORDERS)):
        if value not in known:
            raise ValueError(f"{name} {value!r} is unknown: choose one of {', '.join(known)}")
    if isinstance(questions, str):
        raise ValueError("questions is one string: pass a list of questions, such as [question]")
    if num_shots < 0:
        raise ValueError(f"num_shots is {num_shots}: ask for 0 demonstrations or more")
    if num_shots == 0:
        return [[] for _ in questions]
    pool_questions = pool["question"][:]
    rows = _distinct_rows(pool_questions, pool["answers"][:])
    asked = [question_key(question) for question in questions]
    _check_size(len(pool), rows, questions, asked, num_shots)
    if not questions:
        return []

    texts = [pool_questions[row] for row in rows.values()]
    places = {key: place for place, key in enumerate(rows)}
    row_of_place = list(rows.values())
    choose = _CHOOSERS[selection](texts, num_shots, seed, embedder)
    moves = _shuffled(num_shots, f"order {order_seed}")
    selected = []
    for question, key in zip(questions, asked, strict=True):
        chosen = [row_of_place[place] for place in choose(question, places.get(key))]
        if selection not in ("random", "fixed"):
            chosen.reverse()  # the most similar one came first
        if order == "near_first":
            chosen.reverse()
        selected.append([chosen[place] for place in moves] if order == "shuffled" else chosen)
    return selected


def question_key(question: str) -> str:
    """What two spellings of the same question share; "" only for a question without any character to see.

    Letter case, punctuation, white space and the compatible forms of Unicode (NFKC: wide letters, ligatures) do
    not count. Articles and accents do: they part titles and names.
    """
    return normalize(unicodedata.normalize("NFKC", question), ("case", "white_space", "punctuation"))


def _distinct_rows(questions: list[str], answers: list[list[str]]) -> dict[str, int]:
    """The first row of every question, by its key."""
    rows: dict[str, int] = {}
    for row, (question, accepted) in enumerate(zip(questions, answers, strict=True)):
        if not accepted or not accepted[0].strip():
            raise ValueError(
                f"row {row} of the pool, {question!r}, has no answer to show: answer it, or leave it out"
            )
        rows.setdefault(question_key(question), row)
    return rows


def _check_size(
    num_rows: int, rows: dict[str, int], questions: Sequence[str], asked: list[str], shots: int
) -> None:
    for question, key in zip(questions, asked, strict=True):
        usable = len(rows) - (key in rows)
        if usable < shots:
            raise ValueError(
                f"{shots} demonstrations were asked for, but the pool of {num_rows} rows has {usable} different "
                f"questions besides {question!r}: ask for fewer, or give a larger pool"
            )


# A chooser is made for a pool of distinct questions; given a question and its own place in the pool (None where it
# is not there), it gives `num_shots` other places, the nearest first.
Chooser = Callable[[str, int | None], list[int]]


def _first_others(ranking: Sequence[int], own_place: int | None, num_shots: int) -> list[int]:
    return [int(place) for place in ranking[: num_shots + 1] if place != own_place][:num_shots]


def _choose_random(texts: list[str], num_shots: int, seed: int, embedder: Embedder | None) -> Chooser:
    draw = _shuffled(len(texts), f"draw {seed}")
    return lambda question, own_place: _first_others(draw, own_place, num_shots)


def _choose_fixed(texts: list[str], num_shots: int, seed: int, embedder: Embedder | None) -> Chooser:
    return lambda question, own_place: _first_others(range(len(texts)), own_place, num_shots)


def _choose_nearest(texts: list[str], num_shots: int, seed: int, embedder: Embedder | None) -> Chooser:
    similarities, _ = _similarity(texts, embedder)
    return lambda question, own_place: _first_others(_ranking(similarities(question)), own_place, num_shots)


def _choose_bm25(texts: list[str], num_shots: int, seed: int, embedder: Embedder | None) -> Chooser:
    try:
        import bm25s
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("selection 'bm25' needs bm25s: pip install closedbook[icl]") from error
    options = {"token_pattern": r"(?u)\b\w+\b", "stopwords": None, "return_ids": False, "show_progress": False}
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, **options), show_progress=False)

    def choose(question: str, own_place: int | None) -> list[int]:
        (words,) = bm25s.tokenize([question], **options)
        scores = np.round(index.get_scores(words), _DECIMALS) if words else np.zeros(len(texts))
        return _first_others(_ranking(scores), own_place, num_shots)

    return choose


def _choose_diverse(texts: list[str], num_shots: int, seed: int, embedder: Embedder | None) -> Chooser:
    similarities, between = _similarity(texts, embedder)

    def choose(question: str, own_place: int | None) -> list[int]:
        relevance = similarities(question)
        allowed = np.arange(len(texts)) != (-1 if own_place is None else own_place)
        redundancy = np.full(len(texts), -1.0)  # the smallest cosine: nothing is chosen that could be repeated
        chosen: list[int] = []
        for _ in range(num_shots):
            gain = np.round(RELEVANCE * relevance - (1 - RELEVANCE) * redundancy, _DECIMALS)
            place = int(np.argmax(np.where(allowed, gain, -np.inf)))  # the first of the best
            chosen.append(place)
            allowed[place] = False
            redundancy = np.maximum(redundancy, between(place))
        return sorted(chosen, key=lambda place: (-relevance[place], place))

    return choose


_CHOOSERS = {
    "random": _choose_random,
    "fixed": _choose_fixed,
    "nearest": _choose_nearest,
    "bm25": _choose_bm25,
    "diverse": _choose_diverse,
}


def _similarity(texts: list[str], embedder: Embedder | None):
    """Two functions: the cosines of a question with all texts, and of a text, given its place, with all texts."""
    embedder = TfidfEmbedder(texts) if embedder is None else embedder
    vectors = _embed(embedder, texts)

    def similarities(question: str) -> np.ndarray:
        # One question at a time, so that neither padding nor rounding lets its neighbours in the batch matter.
        return cosines(_embed(embedder, [question]))

    def between(place: int) -> np.ndarray:
        return cosines(vectors[place : place + 1])

    def cosines(vector) -> np.ndarray:
        return np.round(vectors @ (vector.toarray() if scipy.sparse.issparse(vector) else vector)[0], _DECIMALS)

    return similarities, between


def _embed(embedder: Embedder, texts: list[str]):
    vectors = embedder.embed(texts)
    if vectors.ndim != 2 or vectors.shape[0] != len(texts):
        raise ValueError(
            f"the embedder gave the shape {vectors.shape} for {len(texts)} texts: one row a text is needed"
        )
    if not np.isfinite(vectors.sum()):
        raise ValueError("the embedder gave numbers that are not finite: its weights may be broken")
    return vectors


def _ranking(scores: np.ndarray) -> np.ndarray:
    """Places by falling score; of ties, the earlier place first."""
    return np.argsort(-scores, kind="stable")


def _shuffled(number: int, seed: str) -> list[int]:
    # Sorted by a random number each: Python promises the same numbers for a seed in every version, but not the
    # same shuffle. A text as seed keeps draws and orders with the same number apart.
    generator = random.Random(seed)
    return [place for _, place in sorted((generator.random(), place) for place in range(number))]
