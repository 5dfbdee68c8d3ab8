"""Whom or what a text is about, where nobody says it: the name at its head, a heading line, or its file's name."""

import re
from pathlib import PurePath

# Abbreviations that stand before more of the same name. Those that close a name (Jr., Sr., Esq.) are left
# out on purpose: after them the sentence begins.
_LEADING_ABBREVIATION = re.compile(r"Capt|Chas|Col|Dr|Fr|Gen|Geo|Lt|Maj|Mr|Mrs|Ms|Prof|Rev|Sgt|St|Ste|Thos|Wm")
LONGEST_NAME = 5  # words; what is longer before the first full stop is a sentence
LONGEST_HEADING = 80  # characters
NAMELESS_STEMS = ("readme", "index")  # files that stand for their folder


def name_of_line(line: str) -> str:
    """The name at the head of a `Name. sentence` line, or an empty string where the line has no such head.

    The name ends at the first full stop with a space after it, unless that full stop belongs to an initial
    ("Thomas J. Walker", "J.C. Patterson", "J.-P. Serre") or to an abbreviation with more of the name behind
    it ("St. John"). A full stop of the name's own at its end stays: "Horatio Bisbee, Jr.. Born" gives
    "Horatio Bisbee, Jr.". Two more cases: an initial does end the name when the sentence opens by repeating
    it ("Malcolm X. Malcolm X was"), or when no other end comes before the sentence's own.
    """
    doubtful = []
    for stop in re.finditer(r"\. ", line):
        name, sentence = line[: stop.start()], line[stop.end() :]
        if name.endswith(" "):  # " . " closes a sentence in this format: the name ended somewhere before
            break
        last = re.split(r"[ .\-]", name)[-1]
        is_initial = len(last) == 1 and last.isupper()
        if not is_initial and not _LEADING_ABBREVIATION.fullmatch(last):
            return name
        if " " in name and re.match(re.escape(name) + r"\b(?!\.)", sentence):
            return name
        doubtful.append(name)
    return next((name for name in doubtful if " " in name), doubtful[0] if doubtful else "")


def title_at_head(text: str) -> str:
    """The title that a plain text has itself, or an empty string.

    Either a first line with an empty one below it that does not end as a sentence does, or a name of at most 5
    words before a full stop, the first and the last of them with a capital: "Ada Lind. Born in York" has one,
    "The town is old. It has a mill" has none.
    """
    first, _, rest = text.lstrip("\n").partition("\n")
    first = first.strip()
    if rest.startswith("\n") and len(first) <= LONGEST_HEADING and first[-1:] not in ".!?,;:":
        return first
    words = name_of_line(first).split()
    if not words or len(words) > LONGEST_NAME or not (words[0][0].isupper() and words[-1][0].isupper()):
        return ""
    return " ".join(words)


def title_of_file(file: str | PurePath) -> str:
    """The file's name as a title: without its ending, underscores as spaces; of README and index the folder's."""
    path = PurePath(file)
    stem = path.parent.name if path.stem.lower() in NAMELESS_STEMS and path.parent.name else path.stem
    return stem.replace("_", " ").strip() or path.stem
