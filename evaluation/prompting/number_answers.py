r"""Which number a text answers with: a specification, and the function that keeps to it.

A text is read in the plain form of `written_mathematics`, which the steps of a rationale are read in as well:
LaTeX, Markdown, digits of other scripts and thoughts are dealt with there.

**What is a number**

| written | read as | rule |
|---|---|---|
| `36`, `007` | 36, 7 | digits |
| `1,234,567` | 1234567 | commas part thousands where every group but the first has three digits ... |
| `1,2,3` and `12,34` | 1, 2, 3; 12, 34 | ... otherwise they part numbers. A decimal comma is not known |
| `1 234` | 1, 234 | a plain space parts numbers; U+00A0, U+2009 and U+202F part thousands |
| `2.50`, `.5` | 5/2, 1/2 | decimals are exact: what the digits say, no more |
| `36.` | 36 | a full stop at the end belongs to the sentence |
| `$1,200.50`, `$ 3`, `€5` | 2401/2, 3, 5 | currency signs are dropped |
| `36 seconds`, `12kg`, `$5/jar` | 36, 12, 5 | units are dropped, whatever they are: nothing is converted |
| `50%` | 50 | the percent sign is a unit too, because "what percent ...?" is answered by 50 |
| `-3`, `−3`, `-$3`, `$-3` | -3 | a minus (or en dash) right before is a sign ... |
| `5-3`, `5 - 3`, `5 -3` | 5, 3 | ... unless a number, letter or closing bracket precedes it: a range |
| `minus 3`, `negative 3` | -3 | but `5 minus 3` is 5, 3 |
| `3/4` | 3/4 | whole numbers around a bare slash; `3 / 4` is 3, 4; over zero it is no number at all |
| `1 1/2`, `1½` | 3/2 | whole number, space, fraction |
| `\frac{3}{4}` | 3/4 | as LaTeX writes it |
| `3/4/2020`, `10:30` | 3, 4, 2020; 10, 30 | dates and times are several numbers |
| `1.5e3`, `1.5 x 10^3` | 1500 | powers of ten up to three digits; with any sign or command of a product |
| `2^10` | 1024 | whole powers; an exponent of anything else (`m^2`) is no number |
| `1.5 million`, `3万` | 1500000, 30000 | hundred to trillion, lakh, crore, 万, 亿 after a number |
| `3rd`, `第3`, `B12` | none | an ordinal, and what is glued to a letter before it, name things |
| `twelve` | none | words are not read: "one" is more often a pronoun than an answer |

**Which number wins**

The first one after the last explicit marker that any number follows; without a marker the last one of the text.
Markers are `####` with a number right behind it ("#### Step 1" and "#### 2. Add" are headings), `\boxed{`,
`<answer>`, a heading "Final answer", the word "answer" with "is", ":" or "=" at most 40 characters on in the same
sentence ("the answer is 8", "Answer: 8", "Therefore, the answer (arabic numerals) is 8"), and its like in Chinese,
Japanese, Korean and Thai. Where a calculation begins right after the marker, as in "the answer is 216 / 27 = 8" or
"3 apples plus 4 apples = 7 apples", it is the number after its last "=". A text that ends in "= 8" needs no
marker: the 8 is its last number.

**Which numbers are the same**

Those that are equal as fractions: 36, 36.0 and 72/2 are, 0.33 and 1/3 are not. Nothing is rounded, because the
tasks state exact answers.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from closedbook.evaluation.prompting.written_mathematics import (
    CURRENCY,
    EQUALS,
    MINUS,
    NUMBER,
    OPERATOR,
    number_value,
    plain_mathematics,
    whole_number,
)

# A run of this many characters is no number that a question could ask for, and Python refuses to read thousands of
# digits; a model stuck on one digit writes such things.
_LONGEST = 100
_MOST_BITS = 3400  # of a power, about a thousand digits
_UNIT_WORDS = 3  # between a number and the operator behind it

SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
SCALES |= {"lakh": 10**5, "crore": 10**7}
SCALES |= {"万": 10**4, "萬": 10**4, "만": 10**4, "亿": 10**8, "億": 10**8, "억": 10**8}

_NUMBER = re.compile(
    rf"""
    (?P<name>(?!(?<=\d)x\d)[^\W\d]+\d\w*|第\s?\d+)|  # B12, 1e5000, but not the x3 of 9x3
    (?P<word>\b(?:minus|negative|负|負)\s+)?
    (?P<sign>[{MINUS}])?
    (?:[{CURRENCY}]\s?)?
    (?P<late_sign>(?<=[{CURRENCY}])[{MINUS}])?
    (?:{NUMBER})
    (?:\s?(?:[x×*·]|\\times|\\cdot|\\ast|times\s)\s?10\s?(?:\^|\*\*)\s?(?P<ten>[-+\u2212]?\d{{1,3}})(?!\d)
      | \s?(?:\^|\*\*)\s?(?P<power>[-+\u2212]?\d{{1,3}})(?!\d))?
    (?!(?:st|nd|rd|th)\b)
    (?:\s*(?P<scale>{"|".join(SCALES)})(?![A-Za-z]))?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_MARKER = re.compile(
    r"""
    \#{4}(?=\s*[^\w\n]{0,8}\d)(?!\s*\d+[.):][ \t]+\S)  # "#### 2. Add" heads a section
    | \\boxed\b\{? | <answer>
    | \banswers?\b(?:[^\n.:=\d]{0,40}?)(?:\b(?:is|are)\b|:|=)
    | \bfinal\s+answer\b(?=[^\w\n]{0,10}\d)
    | ^[^\w\n]*(?:the\s+)?(?:final\s+)?answer[^\w\n]*$
    | (?:答案|答え|答|解答|回答|정답|답|คำตอบ)\s*(?:(?:是|为|為|は|은|는|คือ)\s*[:=]?|[:=])
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
# What a calculation is made of; "x" is a sign between numbers alone.
_PART = re.compile(
    rf"""
    [^\S\n]*(?:\n\s*(?==))?(?:
      (?P<number>[{CURRENCY}]?\s?(?:\d[\d,./]*(?<![.,/])|\.\d+)(?:[eE][-+]?\d+)?\s?%?)
      | (?P<operator>{OPERATOR}|[xX](?=\s*[\d({CURRENCY}.]))
      | (?P<equals>{EQUALS})
      | (?P<dress>[()\[\]{{}}{CURRENCY}])
      | (?P<word>[^\W\d_]+)
    )
    """,
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True)
class FoundNumber:
    """A number in a plain text: `plain[start:end]`, sign and currency with it, its unit not."""

    value: Fraction
    start: int
    end: int


def extract_number(text: str) -> Fraction | None:
    """The number that a text answers with, by the rules above; None where it holds none."""
    text = plain_mathematics(text)
    numbers = _numbers(text)
    if not numbers:
        return None
    begins = [match.end() for match in _MARKER.finditer(text) if match.end() <= numbers[-1].start]
    if not begins:
        return numbers[-1].value
    winner = next(number for number in numbers if number.start >= begins[-1])
    result = _result_of(text, winner)
    return next((number.value for number in numbers if number.start >= result), winner.value)


def find_numbers(text: str) -> list[FoundNumber]:
    """All numbers of a text, in its order; their places are those in `plain_mathematics(text)`."""
    return _numbers(plain_mathematics(text))


def format_number(value: Fraction) -> str:
    """The shortest exact writing: `36`, `-7.5`, or `10/3` where no decimal ends."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
    digits = str(abs(value * 10**places).numerator).rjust(places + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"


def _numbers(text: str) -> list[FoundNumber]:
    found = []
    for match in _NUMBER.finditer(text):
        value = None if re.search(r"\^\s?$", text[: match.start()][-2:]) else _magnitude(match)
        if value is None:
            continue
        before = text[: match.start()].rstrip()
        after_number = bool(before) and (before[-1].isdigit() or before[-1] in ")]%")
        glued = match.start() > 0 and text[match.start() - 1].isalpha()
        signs = [match["word"] and not after_number, match["sign"] and not after_number and not glued]
        negative = any(signs) or (match["late_sign"] and not match["sign"])
        found.append(FoundNumber(-value if negative else value, match.start(), match.end()))
    return found


def _magnitude(match: re.Match[str]) -> Fraction | None:
    """What a match says, without the sign; None for a name, for what is too long, or over zero."""
    if match["name"] or len(match[0]) > _LONGEST:
        return None
    scale = SCALES[match["scale"].lower()] if match["scale"] else 1
    try:
        value = number_value(match)
        if match["power"]:
            power = whole_number(match["power"])
            if max(value.numerator.bit_length(), value.denominator.bit_length()) * abs(power) > _MOST_BITS:
                return None
            return scale * value**power
    except ZeroDivisionError:
        return None
    return scale * value * Fraction(10) ** whole_number(match["ten"] or "0")


def _result_of(text: str, number: FoundNumber) -> int:
    """Where the result of the calculation begins that `number` opens; its own place where it opens none."""
    place, last, words, calculates, equals, result = number.start, "operator", 0, False, 0, number.start
    shared = False  # whether there can be a part of the last number: 20% of, 1/2 of
    while match := _PART.match(text, place):
        place, kind, written = match.end(), str(match.lastgroup), match[0].strip()
        if kind == "word" and written.lower() == "of" and shared:
            kind = "operator"
        if kind == "number":
            if last == "number":
                break
            result = max(result, equals)
            shared = written.endswith("%") or "/" in written
        elif kind == "equals":
            if last != "number" or not (calculates or equals):
                break
            equals = place
        elif kind == "operator":
            calculates |= last == "number"
        elif kind == "word":
            words += 1
            if last != "number" or words > _UNIT_WORDS:
                break
            continue
        else:
            continue
        last, words = kind, 0
    return result
