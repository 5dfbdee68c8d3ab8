r"""Whether the calculations that a text writes down come out as it says.

A step is two sides around an "=", at least one of which calculates: `55 * 4 = 220`, `12 = 5 + 7`. In a chain,
`24 / 2 = 4 * 3 = 12`, every neighbouring pair is one, two bare numbers too: `3 * 4 = 12 = 13` has a wrong step.
Sides are read out of running text:

- the left side is the longest calculation that ends at the "=" (or "equals"), the right side the longest that
  begins after it;
- the text is read in the plain form of `written_mathematics`, as `number_answers` reads it: separators, fractions,
  mixed numbers, type, LaTeX, digits of all scripts, no thoughts; `\boxed{7}` stands for what it holds;
- numbers are those of that module too, so that `3 / 1/2` is 6; a percentage counts as hundredths;
- operators are `OPERATORS` of that module, `x` between numbers, and "of" after a percentage or a fraction;
  `9(2/3)` is a product;
- a left side that does not calculate counts where it is a number alone, for with words it may be a label
  ("for 3 people = 3 * 5");
- up to five words after a number are its unit ("17 green jelly beans * 2 = 34", "$5/jar");
- a side that holds an unknown (a lone letter, as in `2x + 3 = 9`) or a number in words ("half of 8 + 2",
  "2 million") is not read, and what is not read is not judged;
- `<<48/2=24>>`, as GSM8K marks its calculations (Cobbe et al. 2021, arXiv:2110.14168), is a step too, and counted
  once where the text around it says the same.

A step holds where both sides are equal as fractions, where the right side is a decimal and the left one rounds to
it (`10/3 = 3.33` holds, `10/3 = 3` does not), or where either reading of a percent sign makes it hold
(`20/25 * 100 = 80%` and `20/25 = 80%`).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from closedbook.evaluation.prompting.number_answers import SCALES
from closedbook.evaluation.prompting.written_mathematics import (
    CURRENCY,
    EQUALS,
    NUMBER,
    OPERATOR,
    OPERATORS,
    UNSPACED,
    number_value,
    plain_mathematics,
    without_boxes,
)

Verdict = Literal["right", "wrong", "not checkable"]

_UNIT_WORDS = 5
# Beyond these a text is not calculating: they bound the work that a strange output can cause.
_LONGEST_SIDE = 60  # tokens
_LONGEST_NUMBER = 40  # characters
_LARGEST_POWER = 20
_MOST_BITS = 4096  # of a numerator or denominator: Python writes out no numbers of more than 4300 digits

_TOKEN = re.compile(
    rf"""
    (?P<number>(?:[{CURRENCY}]\s?)?(?:{NUMBER})(?:\s?%|\s?percent\b|[{CURRENCY}](?!\d))?)
    | (?P<operator>{OPERATOR}|[()])
    | (?P<of>\bof\b)
    | (?P<word>[^\W\d_][\w'’]*(?:-[^\W\d_][\w'’]*)*)
    | (?P<other>\S)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_LONE = ("number", "percent", "-")
_SIGNS = ("+", "-", "*", "/", "^")
_UNIT_JOIN = re.compile(r"/\s?(?=[^\W\d_]{2})|(?<=\d)-(?=[^\W\d_]{2})")  # $5/jar, 10-gallon
_TIMES = re.compile(rf"(?<=[\s\d)])[xX](?=\s*[\d.({CURRENCY}])")
_EQUALS = re.compile(EQUALS, re.VERBOSE)
_MARK = re.compile(r"(=\s*)?<<([^<>\n]*)>>")
_BULLET = re.compile(r"\s*[-*\u2013]\s")
# They multiply what follows, or the number before, by something that no sign says.
_NUMBER_WORDS = {*SCALES, "half", "third", "thirds", "quarter", "quarters", "twice", "double", "triple", "thrice"}


@dataclass(frozen=True)
class CheckedStep:
    """A calculation of a text, and what it comes to.

    Attributes:
        text: Both sides, as written and without the words around them: "55 * 4 = 220".
        value: What the left side comes to; a percentage alone is the number before its sign.
        claimed: The same of the right side.
        holds: Whether they are the same, as defined above.
    """

    text: str
    value: Fraction
    claimed: Fraction
    holds: bool


def check_steps(text: str) -> list[CheckedStep]:
    """All steps of a text that can be read, in its order."""
    steps = []
    for line in _lines(text):
        own = [step for piece in _pieces(line) for step in _chain(piece)]
        results = {step.claimed for step in own}
        marked = [step for match in _MARK.finditer(line) for step in _chain(match[2])]
        steps += own + [step for step in marked if step.claimed not in results]
    return steps


def last_result(text: str) -> Fraction | None:
    """What the last "=" of a text comes to, even where its left side is not read (`x = 18`); None without one."""
    pieces = [piece for line in _lines(text) for piece in _pieces(line)]
    for piece in reversed(pieces):
        for tokens in reversed(_segments(piece)[1:]):
            if side := _read(tokens[:_LONGEST_SIDE]):
                return side.value
    return None


def judge_rationale(text: str, answer: Fraction | None) -> Verdict:
    """Whether a rationale leads to the answer given by steps that all hold.

    "right": there is a step that can be read, all that can be hold, and the last result of the text is `answer`,
    whether that is the true answer or not. "not checkable": there is no step that can be read. "wrong": otherwise.
    Arithmetic alone is judged: a rationale that calculates flawlessly with the wrong quantities is "right" here,
    and its answer is wrong; one that converts a unit after its last step is "wrong" though it may make sense.
    """
    steps = check_steps(text)
    if not steps:
        return "not checkable"
    return "right" if all(step.holds for step in steps) and last_result(text) == answer else "wrong"


@dataclass(frozen=True)
class _Token:
    kind: str  # an operator, or number, percent, unit, unknown, of, other
    start: int
    end: int
    text: str
    value: Fraction | None = None  # of a number; of a percentage in hundredths


@dataclass(frozen=True)
class _Side:
    """A side of an "=": where its calculation stands in the line, and what that comes to."""

    start: int
    end: int
    value: Fraction
    calculates: bool
    places: int = 0  # digits after the point of a decimal that stands alone
    percent: bool = False  # stands alone; its value is the number before the sign


def _lines(text: str) -> list[str]:
    """The lines of a text in plain mathematics."""
    return without_boxes(plain_mathematics(text)).splitlines()


def _pieces(line: str) -> list[str]:
    """A line without marks: one after an "=" repeats what the text says, elsewhere it is a piece of its own."""
    return _MARK.sub(lambda match: match[1] or f"\n{match[2]}\n", line).split("\n")


def _chain(line: str) -> list[CheckedStep]:
    steps = []
    for place, (left_tokens, right_tokens) in enumerate(pairwise(_segments(line))):
        left, right = _suffix(left_tokens), _read(right_tokens[:_LONGEST_SIDE])
        if left is None or right is None:
            continue
        # 60 minutes = 1 hour converts, and so may 500 = $5
        bare = place > 0 and _is_bare(right_tokens[:2]) and _currency(left_tokens) == _currency(right_tokens)
        if not (left.calculates or right.calculates or bare):
            continue
        if not left.calculates and any(token.kind not in _LONE for token in left_tokens):
            continue  # a label: 3 people = 3 * 5
        text = " ".join(line[left.start : right.end].split())
        steps.append(CheckedStep(text, left.value, right.value, _holds(left, right)))
    return steps


def _is_bare(tokens: list[_Token]) -> bool:
    """Whether the first of them is a number that no unit follows."""
    return tokens[0].kind in ("number", "percent") and not any(token.kind == "unit" for token in tokens)


def _currency(tokens: list[_Token]) -> bool:
    return any(sign in token.text for token in tokens for sign in CURRENCY)


def _segments(line: str) -> list[list[_Token]]:
    """The tokens before, between and after the equals signs of a line."""
    spans = [match.span() for match in _EQUALS.finditer(line)]
    borders = [(0, 0), *spans, (len(line), len(line))]
    return [_tokens(line, before[1], after[0]) for before, after in pairwise(borders)]


def _holds(left: _Side, right: _Side) -> bool:
    reach = Fraction(1, 2 * 10**right.places) if right.places else Fraction(0)
    values = {left.value}
    if left.percent:
        values |= {left.value / 100}
    if right.percent:
        values |= {100 * value for value in values}
    return any(abs(value - right.value) <= reach for value in values)


def _tokens(line: str, begin: int, end: int) -> list[_Token]:
    # replaced by as many characters, so that places stay those of the line
    text = _UNIT_JOIN.sub(lambda match: " " * len(match[0]), line[begin:end])
    text = _TIMES.sub("*", text)
    if begin == 0:
        text = _BULLET.sub(lambda match: " " * len(match[0]), text, count=1) if _BULLET.match(text) else text
    tokens = []
    for match in _TOKEN.finditer(text):
        kind, written, value = str(match.lastgroup), match[0], None
        if kind == "number":
            kind = "percent" if written.endswith(("%", "percent")) else kind
            value = _value(match) if len(written) <= _LONGEST_NUMBER else None
            kind = "unknown" if value is None else kind
        elif written == "**" and not re.search(r"[\d)]\s?$", text[: match.start()]):
            kind = "other"  # bold type
        elif kind == "operator":
            kind = OPERATORS.get(written.lower(), written)
        elif kind == "word":
            lone_letter = len(written) == 1 and written != "a" and not re.match(f"[{UNSPACED}]", written)
            kind = "unknown" if lone_letter or written.lower() in _NUMBER_WORDS else "unit"
        tokens.append(_Token(kind, begin + match.start(), begin + match.end(), written, value))
    return tokens


def _suffix(tokens: list[_Token]) -> _Side | None:
    """The longest calculation that ends where the tokens end."""
    tokens = tokens[-_LONGEST_SIDE:]
    for begin, token in enumerate(tokens):
        if token.kind in ("number", "percent", "(", "-") and (side := _read(tokens[begin:], whole=True)):
            before = [earlier.kind for earlier in tokens[:begin] if earlier.kind != "of"]
            # it goes on to the left with something that has no value (y + 3, half of 8), or that may be an aside
            # or a factor: 5 (2 + 3)
            ambiguous = _SIGNS + ("unknown",) + (("number", "percent", ")") if token.kind == "(" else ())
            return None if before and before[-1] in ambiguous else side
    return None


def _read(tokens: list[_Token], whole: bool = False) -> _Side | None:
    """The longest calculation that begins where the tokens begin; with `whole` it has to end where they end."""
    reader = _Reader(tokens)
    try:
        value = reader.sum()
    except (_NoCalculation, ZeroDivisionError):
        return None
    if _bits(value) > _MOST_BITS:
        return None
    left = tokens[reader.place :]
    if whole and left:
        return None
    after = left[1:] if left and left[0].kind in _SIGNS else left
    if after and after[0].kind == "unknown":  # 216 * P
        return None
    used = tokens[: reader.end]
    span = (used[0].start, used[-1].end)
    number = next(token for token in used if token.kind in ("number", "percent"))
    if reader.calculates or re.match(r"\D*\d+/", number.text):
        return _Side(*span, value, True)
    decimals = re.search(r"\.(\d+)", number.text)
    percent = number.kind == "percent"
    return _Side(*span, value * 100 if percent else value, False, len(decimals[1]) if decimals else 0, percent)


class _NoCalculation(Exception):
    """What was to be read is no calculation."""


class _Reader:
    """Recursive descent over tokens that reads as far as it makes sense and stops there.

    sum     = product (("+" | "-") product)*
    product = signed (("*" | "/") signed | of signed | bracket)*
    signed  = ["-"] power
    power   = atom ["^" signed]
    atom    = (number | percent | "(" sum ")") unit*
    """

    def __init__(self, tokens: list[_Token]):
        self.tokens = tokens
        self.place = 0  # the token to be read next
        self.end = 0  # one past the last token of the calculation, units aside
        self.calculates = False  # whether an operator was met

    def sum(self) -> Fraction:
        value = self.product()
        while (kind := self._kind()) in ("+", "-"):
            if (other := self._operand(1, self.product)) is None:
                break
            value = value + other if kind == "+" else value - other
        return value

    def product(self) -> Fraction:
        begin = self.place
        value = self.signed()
        while True:
            kind = self._kind()
            if kind == "of" and self._is_share(begin):
                words = self._units(1)
                kind, other = "*", self._operand(1 + words, self.signed)
            elif kind in ("*", "/"):
                other = self._operand(1, self.signed)
            elif kind == "(" and self.place and self.tokens[self.place - 1].end == self.tokens[self.place].start:
                kind, other = "*", self._operand(0, self.signed)
            else:
                return value
            if other is None:
                return value
            value = value * other if kind == "*" else value / other

    def signed(self) -> Fraction:
        if self._kind() != "-":
            return self.power()
        if self.place + 1 < len(self.tokens) and self.tokens[self.place].end == self.tokens[self.place + 1].start:
            self.place += 1
            return -self.power()
        raise _NoCalculation  # "- 3": a dash between words, or an operator whose left side is not there

    def power(self) -> Fraction:
        base = self.atom()
        if self._kind() != "^" or (exponent := self._operand(1, self.signed)) is None:
            return base
        whole = exponent.denominator == 1 and abs(exponent) <= _LARGEST_POWER
        if not whole or _bits(base) * abs(exponent) > _MOST_BITS:
            raise _NoCalculation
        return base**exponent.numerator

    def atom(self) -> Fraction:
        kind = self._kind()
        if kind == "(":
            self.place += 1
            value = self.sum()
            if self._kind() != ")":
                raise _NoCalculation
        elif kind in ("number", "percent"):
            value = self.tokens[self.place].value
        else:
            raise _NoCalculation
        self.place += 1
        self.end = self.place
        self.place += self._units(0)
        return value

    def _operand(self, ahead: int, read: Callable[[], Fraction]) -> Fraction | None:
        """What stands `ahead`; None, and back to where we were, if that is nothing to calculate with."""
        place, end, calculates = self.place, self.end, self.calculates
        self.place += ahead
        self.calculates = True
        try:
            return read()
        except _NoCalculation:
            self.place, self.end, self.calculates = place, end, calculates
            return None

    def _kind(self, ahead: int = 0) -> str:
        place = self.place + ahead
        return self.tokens[place].kind if place < len(self.tokens) else "end"

    def _units(self, ahead: int) -> int:
        """How many words from there on may be a unit; "jars of milk" is three."""
        count = 0
        while count < _UNIT_WORDS and (
            self._kind(ahead + count) == "unit" or (count and self._kind(ahead + count) == "of")
        ):
            count += 1
        return count

    def _is_share(self, begin: int) -> bool:
        """Whether the product so far is one of which there can be a part: 10%, 1/2."""
        kinds = [token.kind for token in self.tokens[begin : self.end]]
        return kinds[-1] == "percent" or kinds[-2:-1] == ["/"] or "/" in self.tokens[self.end - 1].text


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _value(match: re.Match[str]) -> Fraction | None:
    """What a number of `_TOKEN` is; None over zero."""
    try:
        value = number_value(match)
    except ZeroDivisionError:
        return None
    return value / 100 if match["number"].endswith(("%", "percent")) else value
