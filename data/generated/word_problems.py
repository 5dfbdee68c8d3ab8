"""Generated word problems of several steps, each of which works on the result of the one before.

    Ada has 7 apples. She gets 5 more. She sings. She gives away 3. She doubles them. How many does she have?
    7+5=12. 12-3=9. 9*2=18.

They are what the laboratory's version of chain of thought is learned from: whether a model does better when it is
taught to write the steps down (Wei et al. 2022, arXiv:2201.11903; scratchpads: Nye et al. 2021, arXiv:2112.00114).

Chains are drawn **backwards**, from the answer to the start: the answer is uniform over 1..`LARGEST`, however many
steps there are, so that none is worth guessing. Every number stays in 1..`LARGEST` too: a single step is one of
480 facts, which a model of a hundred thousand weights learns in minutes, while the chains of four
steps are too many to be learned by heart.

Between the steps stand asides, sentences that change nothing. A problem has n to `most_sentences` sentences of
both kinds, each number equally often, if it has n steps: so a problem of few steps is not a short one, and what is
asked beyond the trained numbers of steps is not at the same time beyond the trained distances.

Problem i is a pure function of (seed, i). Training and test problems are told apart by a hash of what is computed,
so that no chain of two or more steps is ever in both, whatever the seeds, in any wording. Single steps would leave
the arithmetic of the test untaught; they are told apart by the whole question.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from random import Random

LARGEST = 30  # every number of a problem is in 1..LARGEST
LARGEST_CHANGE = 9  # what is added or taken away in one step
TEST_SHARE = 10  # one chain in so many is kept for the test
PARTS = ("training", "test")

_PEOPLE = {
    "Ada": "She", "Ben": "He", "Cleo": "She", "Dan": "He", "Eva": "She", "Finn": "He", "Gia": "She", "Hugo": "He",
}  # fmt: skip
_OBJECTS = ("apples", "books", "cards", "coins", "eggs", "pens", "shells", "stamps")
_WORDINGS = {
    "+": ("gets {} more", "finds {}", "buys {}"),
    "-": ("gives away {}", "loses {}", "sells {}"),
    "*": ("doubles them", "gets as many again"),
    "/": ("gives away half", "loses half"),
}
_ASIDES = ("sings", "rests", "waits", "smiles", "reads")
_OWNED, _ASKED = "{} has {} {}.", "How many does {} have?"
# All texts that problems and answers are made of, hence every character of them.
ALPHABET = [
    *(text.format(*"   ") for text in (_OWNED, _ASKED, *chain(*_WORDINGS.values()))),
    *("0123456789+-*/=.", "She", "He", "she", "he", *_PEOPLE, *_OBJECTS, *_ASIDES),
]


@dataclass(frozen=True)
class WordProblem:
    """One problem and its solution.

    Attributes:
        question: what is told and asked.
        start: the number that it begins with.
        steps: (operator, operand) of each step, in the order told; the operator is one of "+-*/", and "*" and "/"
            have the operand 2.
    """

    question: str
    start: int
    steps: tuple[tuple[str, int], ...]

    @property
    def equations(self) -> list[str]:
        """The steps as arithmetic: `["7+5=12", "12-3=9"]`."""
        value, equations = self.start, []
        for operator, operand in self.steps:
            result = apply_step(value, operator, operand)
            equations.append(f"{value}{operator}{operand}={result}")
            value = result
        return equations

    @property
    def rationale(self) -> str:
        """The worked steps: `7+5=12. 12-3=9.`"""
        return " ".join(f"{equation}." for equation in self.equations)

    @property
    def answer(self) -> int:
        """The result of the last step."""
        return int(self.equations[-1].partition("=")[2])

    @property
    def part(self) -> str:
        """Which of `PARTS` the problem belongs to; see the head of this file."""
        computed = self.question if len(self.steps) == 1 else f"{self.start}{self.steps}"
        number = int.from_bytes(hashlib.sha256(computed.encode()).digest()[:8], "big")
        return "training" if number % TEST_SHARE else "test"


def apply_step(value: int, operator: str, operand: int) -> int:
    """The result of one step."""
    results = {"+": value + operand, "-": value - operand, "*": value * operand, "/": value // operand}
    return results[operator]


class WordProblems(Sequence):
    """A stream of problems, of which number i depends on (seed, i) alone.

    Args:
        seed: another seed gives other problems.
        num_problems: length of the stream; it cuts the stream off and changes nothing else.
        num_steps: numbers of steps; problem i has the `i % len(num_steps)`-th of them.
        part: "training" or "test"; see the head of this file.
        most_sentences: steps and asides of a problem together, at most; problems of more steps have no asides.

    Raises:
        ValueError: if there is no problem to make, a problem would have no step, or the part is unknown.
    """

    def __init__(self, seed: int, num_problems: int, num_steps: Sequence[int], part: str, most_sentences: int = 0):
        if num_problems < 1 or not num_steps or min(num_steps) < 1:
            raise ValueError(
                f"num_problems and each of num_steps must be at least 1, got {num_problems} and {[*num_steps]}"
            )
        if part not in PARTS:
            raise ValueError(f"part must be one of {', '.join(PARTS)}, not {part!r}")
        self.seed, self.num_problems, self.num_steps, self.part = seed, num_problems, tuple(num_steps), part
        self.most_sentences = most_sentences

    def __len__(self) -> int:
        return self.num_problems

    def __getitem__(self, index: int) -> WordProblem:
        if not 0 <= index < self.num_problems:
            raise IndexError(f"problem {index} of {self.num_problems}")
        random = Random(f"{self.seed}/{index}")
        num_steps = self.num_steps[index % len(self.num_steps)]
        answer = random.randint(1, LARGEST)  # drawn once, so that no part prefers an answer
        while True:
            problem = draw_problem(random, num_steps, answer, self.most_sentences)
            if problem.part == self.part:
                return problem


def draw_problem(random: Random, num_steps: int, answer: int, most_sentences: int = 0) -> WordProblem:
    """A problem of `num_steps` steps with this answer, whatever its part; see `WordProblems`."""
    steps: list[tuple[str, int]] = []
    value = answer
    while len(steps) < num_steps:
        before = _possible_steps(value)
        operator = random.choice(sorted(before))  # of those that can lead here, each as often as the others
        operand, value = random.choice(before[operator])
        steps.insert(0, (operator, operand))
    person, thing = random.choice(sorted(_PEOPLE)), random.choice(_OBJECTS)
    pronoun = _PEOPLE[person]
    told = [f"{pronoun} {random.choice(_WORDINGS[operator]).format(operand)}." for operator, operand in steps]
    for _ in range(random.randint(0, max(0, most_sentences - num_steps))):
        told.insert(random.randint(0, len(told)), f"{pronoun} {random.choice(_ASIDES)}.")
    owned = _OWNED.format(person, value, thing if value > 1 else thing.removesuffix("s"))
    question = " ".join([owned, *told, _ASKED.format(pronoun.lower())])
    return WordProblem(question, value, tuple(steps))


def _possible_steps(result: int) -> dict[str, list[tuple[int, int]]]:
    """For each operator that can give `result`: (operand, the number before)."""
    changes = range(1, LARGEST_CHANGE + 1)
    steps = {
        "+": [(change, result - change) for change in changes if result - change >= 1],
        "-": [(change, result + change) for change in changes if result + change <= LARGEST],
        "*": [(2, result // 2)] if result % 2 == 0 else [],
        "/": [(2, result * 2)] if result * 2 <= LARGEST else [],
    }
    return {operator: options for operator, options in steps.items() if options}


def direct_answer(problem: WordProblem) -> str:
    """The answer alone."""
    return str(problem.answer)


def worked_answer(problem: WordProblem) -> str:
    """The steps, then the answer: `7+5=12. 12-3=9. 9`."""
    return f"{problem.rationale} {problem.answer}"


def filler_answer(problem: WordProblem) -> str:
    """As many dots as the steps have characters, then the answer.

    The control for what else the steps bring: a longer text before the answer, hence more computation, and fewer
    problems for the same number of characters (Lanham et al. 2023, arXiv:2307.13702).
    """
    return f"{'.' * len(problem.rationale)} {problem.answer}"


# How an answer is taught, by the name that an arm of the laboratory has.
ANSWER_STYLES: dict[str, Callable[[WordProblem], str]] = {
    "direct": direct_answer,
    "worked": worked_answer,
    "filler": filler_answer,
}
