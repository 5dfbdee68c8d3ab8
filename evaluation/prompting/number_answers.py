r"""Which number a text answers with: a specification, and the function that keeps to it.

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
| `1.5e3`, `1.5 x 10^3` | 1500 | powers of ten up to three digits; also with `×` and `*` |
| `1.5 million` | 1500000 | hundred, thousand, million, billion after a number |
| `3rd`, `B12` | none | an ordinal, and what is glued to a letter before it, name things |
| `twelve` | none | words are not read: "one" is more often a pronoun than an answer |

**Which number wins**

The first one after the last explicit marker that any number follows; without a marker the last one of the text.
Markers are `####`, `\boxed{`, and the word "answer" with "is", ":" or "=" at most 40 characters on in the same
sentence: "the answer is 8", "Answer: 8", "Therefore, the answer (arabic numerals) is 8". Where a calculation
begins right after the marker, as in "the answer is 216 / 27 = 8", it is the number after its last "=". A text that
ends in "= 8" needs no marker: the 8 is its last number.

**Which numbers are the same**

Those that are equal as fractions: 36, 36.0 and 72/2 are, 0.33 and 1/3 are not. Nothing is rounded, because the
tasks state exact answers.
"""

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

# A run of this many characters is no number that a question could ask for, and Python refuses to read thousands of
# digits; a model stuck on one digit writes such things.
_LONGEST = 100

CURRENCY = "$€£¥"
SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9}

_MINUS = "-\u2212\u2013"  # put first in a class of characters, where a hyphen stands for itself
_SPACES = "\u00a0\u2009\u202f"
# Alternatives from the longest to the shortest; possessive, so that no part of a longer run of digits is taken.
_WHOLE = rf"(?:\d{{1,3}}(?:[,{_SPACES}]\d{{3}})++(?![,{_SPACES}]?\d)|\d++)"
_NUMBER = re.compile(
    rf"""
    (?P<name>(?!(?<=\d)x\d)[^\W\d]+\d\w*)|  # B12, 1e5000, but not the x3 of 9x3
    (?P<word>\b(?:minus|negative)\s+)?
    (?P<sign>[{_MINUS}])?
    (?:[{CURRENCY}]\s?)?
    (?P<late_sign>(?<=[{CURRENCY}])[{_MINUS}])?
    (?:
      (?P<mixed>\d++)\ (?P<part>\d++/\d++)(?![/\d])
      | (?<!\d/)(?P<fraction>\d++/\d++)(?!/\d|[.,]\d)
      | (?P<decimal>(?:{_WHOLE}(?:\.\d++)?|(?<!\d)\.\d++))
        (?:(?:[eE]|\s?[x×*]\s?10\^\{{?)(?P<power>[+-]?\d{{1,3}})(?!\d)\}}?)?
    )
    (?!(?:st|nd|rd|th)\b)
    (?:\s+(?P<scale>{"|".join(SCALES)})\b)?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_MARKER = re.compile(r"####|\\boxed\{|\banswers?\b(?:[^\n.:=\d]{0,40}?)(?:\b(?:is|are)\b|:|=)", re.IGNORECASE)
# What may stand between a number and the "=" of a calculation that begins with it.
_CALCULATION = re.compile(
    rf"(?:(?:[{_MINUS}\d\s,%()+*/×÷x^{CURRENCY}]|\.(?=\d))*=)+(?=\s*[{_MINUS}{CURRENCY}\d.])"
)
_OPERATOR = re.compile(f"[{_MINUS}+*/×÷x^]")
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\{(\d+)\}\{(\d+)\}")
_VULGAR_FRACTION = re.compile("(\\d?)([\u00bc-\u00be\u2150-\u215e])")


@dataclass(frozen=True)
class FoundNumber:
    """A number in a text: `text[start:end]`, sign and currency with it, its unit not."""

    value: Fraction
    start: int
    end: int


def extract_number(text: str) -> Fraction | None:
    """The number that a text answers with, by the rules above; None where it holds none."""
    text = plain_fractions(text)
    numbers = find_numbers(text)
    if not numbers:
        return None
    begins = [match.end() for match in _MARKER.finditer(text) if match.end() <= numbers[-1].start]
    if not begins:
        return numbers[-1].value
    winner = next(number for number in numbers if number.start >= begins[-1])
    calculation = _CALCULATION.match(text, winner.start)
    if calculation and _OPERATOR.search(text[winner.end : calculation.end()].partition("=")[0]):
        winner = next((number for number in numbers if number.start >= calculation.end()), winner)
    return winner.value


def find_numbers(text: str) -> list[FoundNumber]:
    """All numbers of a text, in its order."""
    found = []
    for match in _NUMBER.finditer(text):
        value = _magnitude(match)
        if value is None:
            continue
        before = text[: match.start()].rstrip()
        after_number = bool(before) and (before[-1].isdigit() or before[-1] in ")]%")
        glued = match.start() > 0 and text[match.start() - 1].isalpha()
        signs = [match["word"] and not after_number, match["sign"] and not after_number and not glued]
        negative = any(signs) or (match["late_sign"] and not match["sign"])
        found.append(FoundNumber(-value if negative else value, match.start(), match.end()))
    return found


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


def plain_fractions(text: str) -> str:
    r"""`½` and `\frac{1}{2}` written as `1/2`, with a space after a whole number."""
    text = _LATEX_FRACTION.sub(r"\1/\2", text)
    return _VULGAR_FRACTION.sub(_spelled_out, text)


def _spelled_out(match: re.Match[str]) -> str:
    fraction = unicodedata.normalize("NFKC", match[2]).replace("\u2044", "/")
    return f"{match[1]} {fraction}" if match[1] else fraction


def _magnitude(match: re.Match[str]) -> Fraction | None:
    """What the digits of a match say, without the sign; None for a name, for what is too long, or over zero."""
    if match["name"] or len(match[0]) > _LONGEST:
        return None
    scale = SCALES[match["scale"].lower()] if match["scale"] else 1
    try:
        if match["mixed"]:
            return scale * (int(match["mixed"]) + Fraction(match["part"]))
        if match["fraction"]:
            return scale * Fraction(match["fraction"])
    except ZeroDivisionError:
        return None
    digits = re.sub(f"[,{_SPACES}]", "", match["decimal"])
    return scale * Fraction(digits) * Fraction(10) ** int(match["power"] or 0)
