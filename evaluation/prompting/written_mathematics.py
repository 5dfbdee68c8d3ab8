r"""Mathematics as models write it, brought into one plain form: for the numbers of a text and for its steps alike.

Both readers of this room, `number_answers` and `arithmetic_steps`, look at `plain_mathematics(text)` and read
numbers by `NUMBER` and operators by `OPERATORS`. What one of them can read, the other can.

| written | plain |
|---|---|
| `<think>5?</think> 7` | ` 7`; a thought alone is read, one that is never closed is nothing |
| `1{,}234`, `1\,234`, `12,\!000`, `1'234`, `1_234`, narrow spaces | `1,234`, `12,000` |
| `\frac{1}{2}`, `\dfrac12`, `{1 \over 2}`, `½`, `1⁄2` | `1/2`, with a space after a whole number |
| `3 and 1/2`, `3又1/2` | `3 1/2`, unless the fraction is of something or calculated with |
| `10^{3}`, `10³`, `10**3` where the base is 10 | `10^3` |
| `\textbf{7}`, `\mathbf{7}`, `\underline{7}`, `\text{ kg}`, `{\bf 7}` | what they hold; `\boxed{7}` stays |
| `**7**`, `__7__`, `*7*`, `_7_`, `` `7` ``, `<b>7</b>` | `7`; `2**3` is a power, struck `~~5~~` is gone |
| `\$`, `\%`, `\left(`, `\(`, `90^\circ` | `$`, `%`, `(`, a space, `90` |
| `４２`, `٤٢`, `𝟒𝟐` | `42`: digits of all scripts, and the full-width forms of signs |
| `答案是42。`, `ราคา42บาท` | `答案是 42 。`: a space, where a script that has none meets a number |
"""

import html
import re
import unicodedata
from fractions import Fraction

CURRENCY = "$€£¥₹₩₽₺₫฿₪₦₱₴"
MINUS = "-\u2212\u2013"  # put first in a class of characters, where a hyphen stands for itself

# Whatever is written between two numbers that are calculated with. Words have to stand alone.
_OPERATOR_WORDS = {
    "plus": "+",
    "minus": "-",
    "times": "*",
    "multiplied by": "*",
    "divided by": "/",
    "over": "/",
    "加": "+",
    "减": "-",
    "減": "-",
    "乘以": "*",
    "乘": "*",
    "除以": "/",
}
_OPERATOR_SIGNS = {"**": "^", "×": "*", "·": "*", "÷": "/", "\u2212": "-", "\u2013": "-"}
_OPERATOR_SIGNS |= {sign: sign for sign in "+-*/^"}
_OPERATOR_COMMANDS = {r"\times": "*", r"\cdot": "*", r"\ast": "*", r"\div": "/"}
OPERATORS = _OPERATOR_SIGNS | _OPERATOR_COMMANDS | _OPERATOR_WORDS
OPERATOR = (
    r"\*\*|[-+*/^×·÷\u2212\u2013]|\\(?:times|cdot|ast|div)(?![A-Za-z])"
    r"|\b(?:plus|minus|times|divided\ by|multiplied\ by|(?<=\d\ )over(?=\ \d)|加|减|減|乘以|乘|除以)(?!\w)"
)
EQUALS = r"(?<![<>!=~])=(?![=>])|\b(?:is\ equal\ to|equals|等于|等於)(?!\w)"

# A number without its sign, in verbose form. Alternatives from the longest to the shortest; possessive, so that no
# part of a longer run of digits is taken. `12/2^2` and `3/4/2020` hold no fraction.
NUMBER = r"""
    (?P<mixed>(?<![/^])\d++)\ (?P<part>\d++/\d++)(?!/\d|[.,]\d|\s?\^|\s?\*\*)
    | (?<![/^])(?P<fraction>\d++/\d++)(?!/\d|[.,]\d|\s?\^|\s?\*\*)
    | (?P<decimal>(?:\d{1,3}(?:,\d{3})++(?!,?\d)|\d++)(?:\.\d++)?|(?<!\d)\.\d++)
      (?:[eE](?P<exponent>[-+\u2212]?\d{1,3})(?!\d))?
"""


def number_value(match: re.Match[str]) -> Fraction:
    """What a match of `NUMBER` says.

    Raises:
        ZeroDivisionError: for a fraction over zero.
    """
    if match["mixed"]:
        return int(match["mixed"]) + Fraction(match["part"])
    if match["fraction"]:
        return Fraction(match["fraction"])
    return Fraction(match["decimal"].replace(",", "")) * Fraction(10) ** whole_number(match["exponent"] or "0")


def whole_number(written: str) -> int:
    """The integer of digits with any minus before them."""
    return int(written.replace("\u2212", "-"))


def plain_mathematics(text: str) -> str:
    """A text with its mathematics in plain form, by the table above; words stay as they are."""
    text = _plain_characters(without_thoughts(text))
    return _spaced_scripts(_without_markup(_without_latex(text)))


# Thoughts --------------------------------------------------------------------------------------------------------

_THOUGHT = re.compile(
    r"<(?P<slash>/?)(?:think|thinking|thoughts?|reasoning|scratchpad)\s*>|\[(?P<bracket>/?)THINK\]"
    r"|◁(?P<triangle>/?)think▷|<\|(?P<word>begin|end)_of_thought\|>",
    re.IGNORECASE,
)


def without_thoughts(text: str) -> str:
    """What stands outside of thoughts; a thought that is alone is itself the text.

    An opened thought that is not closed has come to no answer: nothing after its opening is given back. What comes
    before a closing without an opening is a thought that the prompt began.
    """
    outside, inside, place, is_open = "", "", 0, False
    for tag in _THOUGHT.finditer(text):
        before, place = text[place : tag.start()], tag.end()
        closes = (tag["slash"] or tag["bracket"] or tag["triangle"] or tag["word"] or "").lower() in ("/", "end")
        if closes and not is_open:
            inside, outside = f"{inside}{outside}{before}", ""
        elif is_open:
            inside += before
        else:
            outside += before
        is_open = not closes
    if not is_open:
        outside += text[place:]
    return outside if outside.strip() or is_open else inside


# Characters ------------------------------------------------------------------------------------------------------

_FULL_WIDTH = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F) if chr(code) != "，"}
_LIKE = {"\u3000": " ", "\uffe5": "¥", "٫": ".", "٬": ",", "٪": "%", "∕": "/", "∗": "*", "⋅": "·", "∙": "·"}
_LIKE |= {"✕": "×", "✖": "×", "⨯": "×", "➕": "+", "➖": "-", "➗": "÷", "⁄": "/"}
_LIKE |= dict.fromkeys("\u2010\u2011\u2012\ufe63", "-")
_LIKE |= dict.fromkeys("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufe0f\ufeff", "")
_LIKE |= dict.fromkeys("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", "")  # direction of writing
_CHARACTERS = _FULL_WIDTH | str.maketrans(_LIKE)
_WIDE_COMMA = re.compile(r"(?<=[０-９])，(?=[０-９]{3}(?![０-９]))")
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")
_ENTITY = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{1,9}|#\d{2,5});")
_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_SMALL = str.maketrans(_RAISED + "₀₁₂₃₄₅₆₇₈₉⁺⁻", "0123456789" * 2 + "+-")
_SMALL_FRACTION = re.compile(rf"(\d?)([{_RAISED}]+)[⁄/∕]([₀-₉]+)")
_POWER = re.compile(rf"(?<=[\d)])[⁺⁻]?[{_RAISED}]+")
_VULGAR_FRACTION = re.compile("(\\d?)([\u00bc-\u00be\u2150-\u215e\u2189])")
_AND_FRACTION = re.compile(
    r"(?<!between )(?<![\d.,/])(\d+)(?: and |\s?又\s?)(\d++)/(\d++)"
    r"(?![/\d]|[.,]\d|\s*(?:of\b|[-+*/×·÷=^\\(]|x\s?\d))"
)


def _plain_characters(text: str) -> str:
    text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    text = _WIDE_COMMA.sub(",", text)
    text = _SMALL_FRACTION.sub(
        lambda match: f"{match[1]}{' ' * bool(match[1])}{(match[2] + '/' + match[3]).translate(_SMALL)}", text
    )
    text = text.translate(_CHARACTERS)
    text = _OTHER_DIGIT.sub(lambda match: str(unicodedata.decimal(match[0])), text)
    text = _POWER.sub(lambda match: "^" + match[0].translate(_SMALL), text)
    return _VULGAR_FRACTION.sub(_spelled_out, text)


def _spelled_out(match: re.Match[str]) -> str:
    fraction = unicodedata.normalize("NFKC", match[2]).replace("\u2044", "/")
    return f"{match[1]} {fraction}" if match[1] else fraction


# LaTeX -----------------------------------------------------------------------------------------------------------

_LINE_END = re.compile(r"\\\\\s*\[[\d.]+\s?[a-z]{2}\]|\\\\(?![A-Za-z()\[\]{}$%,;:!#&])")
_ESCAPED_TWICE = re.compile(r"\\\\(?=[A-Za-z()\[\]{}$%,;:!#&])")
_THIN = r"(?:\\[,;:!> ]|[\u00a0\u2005-\u200a\u202f])"
_PARTED_BY_SPACE = re.compile(rf"(?<![\d.,])\d{{1,3}}(?:{_THIN}\d{{3}})+(?!\d|{_THIN}\d)")
_PARTED_BY_MARK = re.compile(
    r"(?<![^\W_])(?<![^\W_]_)(?<![.,'’])\d{1,3}(?:(?:['’]\d{3})+|(?:_\d{3})+)(?![\w'’]*\d)", re.ASCII
)
_WRAPPED = re.compile(
    r"\\(?:text(?:bf|it|tt|rm|sf|sc|up|normal)?|math(?:bf|rm|it|sf|tt|normal|bb)|emph|u{0,2}line|underline|bm|pmb"
    r"|boldsymbol|mbox|hbox|ensuremath|operatorname\*?|(?:text)?color\s*\{[^{}]*\})\s*\{([^{}]*)\}"
    r"|\{\s*\\(?:bf|it|rm|em|tt|bfseries|itshape|large|Large|LARGE|huge|Huge)(?![A-Za-z])\s*([^{}]*)\}"
)
_FRACTION = re.compile(
    r"\\(?:[dtcs]|nice)?frac\s*(?:\{([^{}]*)\}|(\d))\s*(?:\{([^{}]*)\}|(\d))"
    r"|\{\s*([^{}]+?)\s*\\over(?![A-Za-z])\s*([^{}]+?)\s*\}"
)
_ALONE = re.compile(r"\s*([-\u2212]?)\s*(\d+)(?:\.(\d+))?\s*")
_BRACED_NUMBER = re.compile(r"(?<![A-Za-z_^}])(?<![A-Za-z}]\s)\{\s*([-+\u2212]?[\d.,/ ]*\d)\s*\}")
_EXPONENT = re.compile(r"\^\s?(?:\{\s*([^{}]*?)\s*\}|\(\s*([-+\u2212]?\d+)\s*\))")
_SUBSCRIPT = re.compile(r"_\{(\w+)\}")
_DEGREES = re.compile(r"\s?\^\s?\{?\s*\\(?:circ|degree)\s*\}?|\\degree(?![A-Za-z])")
_SIZE = re.compile(r"\\(?:(?:left|right)(?![A-Za-z])\.?|(?:[bB]igg?[lrm]?|displaystyle|textstyle)(?![A-Za-z]))")
_SPACE = re.compile(r"\\[,;:> ]|\\q?quad(?![A-Za-z])|(?<=\w)~(?=\S)|\\[()\[\]]|\\[{}]|\$\$|[ \t]*\u00a0")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{\s*")
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")


def without_boxes(text: str) -> str:
    r"""Plain mathematics with what `\boxed{...}` holds in its place."""
    return _BOXED.sub(r"\1", text)


def _without_latex(text: str) -> str:
    if "~~" in text:
        text = _STRUCK.sub("", text)
    text = _PARTED_BY_MARK.sub(lambda match: re.sub("['’_]", ",", match[0]), text)
    if "\\" in text or "{" in text:
        text = _ESCAPED_TWICE.sub(r"\\", _LINE_END.sub("\n", text))
        text = re.sub(r"\{(\\[,;:!])\}", r"\1", re.sub(r"\{([.,+-])\}", r"\1", text))
    text = _PARTED_BY_SPACE.sub(lambda match: re.sub(_THIN, ",", match[0]), text)
    if "\\" in text or "{" in text:
        text = _DEGREES.sub("", _SIZE.sub("", text.replace("\\!", "")))
        text = re.sub(r"\\([$%#&_*.])", r"\1", text)
        text = _SPACE.sub(" ", text)
        text = re.sub(r"&(?=\s*=)|(?<==)\s*&", "", text)
        before = None
        while before != text:  # from the innermost braces outwards
            before = text
            text = _EXPONENT.sub(_plain_exponent, _SUBSCRIPT.sub(r"_\1", text))
            text = _WRAPPED.sub(lambda match: match[1] or match[2] or "", text)
            text = _FRACTION.sub(_plain_fraction, text)
            text = _BRACED_NUMBER.sub(r"\1", text)
        text = _BOX.sub(r"\\boxed{", text)
        text = re.sub(r"(\\[A-Za-z]+)(?=\d)", r"\1 ", text)
    text = _SPACE.sub(" ", text)
    text = _EXPONENT.sub(_plain_exponent, text)
    return _AND_FRACTION.sub(_joined, text)


def _joined(match: re.Match[str]) -> str:
    proper = 0 < int(match[2]) < int(match[3]) if len(match[0]) < 40 else False
    return f"{match[1]} {match[2]}/{match[3]}" if proper else match[0]


def _plain_exponent(match: re.Match[str]) -> str:
    power = match[1] if match[1] is not None else match[2]
    return f"^{power}" if re.fullmatch(r"[-+\u2212]?\w*", power) else f"^({power})"


def _plain_fraction(match: re.Match[str]) -> str:
    over, under = (part for part in match.groups() if part is not None)
    before = match.string[max(0, match.start() - 1) : match.start()]
    space = " " if before.isdigit() or before in ("/", "^") else ""
    parts = [_ALONE.fullmatch(re.sub(r"(?<=\d),(?=\d{3})", "", part)) for part in (over, under)]
    if parts[0] is None or parts[1] is None:
        return f"{space}({over.strip()})/({under.strip()})"
    places = max(len(part[3] or "") for part in parts if part)  # 1.5 over 2 is 15 over 20
    digits = [part[2] + (part[3] or "").ljust(places, "0") for part in parts if part]
    sign = "-" if bool(parts[0][1]) != bool(parts[1][1]) else ""
    return f"{space}{sign}{digits[0]}/{digits[1]}"


# Markdown and HTML -----------------------------------------------------------------------------------------------

_STRUCK = re.compile(r"~~(?=\S)[^~\n]*~~")
_TAG = re.compile(r"</?(?:b|strong|i|em|u|mark|span|p|div|code|font|ins|big|center)(?:\s[^<>]*)?>", re.IGNORECASE)
_RAISED_TAG = re.compile(r"<sup>\s*([-+\u2212]?\d+)\s*</sup>", re.IGNORECASE)
_LINE_TAG = re.compile(r"<br\s*/?>", re.IGNORECASE)
# An opening has no number before it that could be calculated with, a closing none right after it.
_BOLD = re.compile(
    r"(?<![\d)*])(?<![\d)]\s)(\*{2,3})(?=[^\s*])((?:[^*\n]|\*(?!\*)|(?<=\d)\*\*(?=\d))+?)(?<=\S)\1(?![\d(*])"
)
_SLANTED = re.compile(r"(?<![\w)*])(?<![\d)]\s)\*(?=[^\s*])([^*\n]+?)(?<=[^\s*])\*(?![\w(*])", re.ASCII)
_UNDERSCORED = re.compile(r"(?<!\w)(_+)(?=[^\s_])([^_\n]+?)(?<=[^\s_])\1(?!\w)", re.ASCII)
_CODE = re.compile(r"(?<=[^\W_])`+(?=[^\W_])")


def _without_markup(text: str) -> str:
    if "<" in text:
        text = _LINE_TAG.sub("\n", _TAG.sub("", _RAISED_TAG.sub(r"^\1", text)))
    if "`" in text:
        text = _CODE.sub(" ", text).replace("`", "")
    if "*" in text:
        text = _SLANTED.sub(r"\1", _BOLD.sub(r"\2", text))
    if "_" in text:
        text = _UNDERSCORED.sub(r"\2", text)
    return text


# Scripts without spaces ------------------------------------------------------------------------------------------

# Thai, Lao, Tibetan, Burmese, Khmer, kana, Han and Hangul.
UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_BEFORE_NUMBER = re.compile(rf"(?<=[{UNSPACED}])(?=[{CURRENCY}]?\.?\d)")
# in "3月-5月" the hyphen makes a range
_BEFORE_SIGN = re.compile(
    rf"(?<=[{UNSPACED}])(?<!\d[{UNSPACED}])(?<!\d\s[{UNSPACED}])(?=[{MINUS}][{CURRENCY}]?\d)"
)
_AFTER_NUMBER = re.compile(rf"(?<=\d)(?=[{UNSPACED}])")


def _spaced_scripts(text: str) -> str:
    return _AFTER_NUMBER.sub(" ", _BEFORE_NUMBER.sub(" ", _BEFORE_SIGN.sub(" ", text)))
