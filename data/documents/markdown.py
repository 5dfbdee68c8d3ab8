"""What a model is to read of Markdown: the text that a reader of the page sees, section by section.

Parsed by markdown-it (CommonMark with tables). Links and emphasis become their text, pictures their description
(where a paragraph is nothing but pictures, such as badges, it is left out), a paragraph one line however it was
wrapped, a row of a table the line `cell | cell`; code keeps its fences, lists their marks; of HTML the text stays.
"""

import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

TITLE_JOINT = ": "  # "Guide: Installing"
_FRONT_MATTER = re.compile(r"(---|\+\+\+)[ \t]*\n(.*?)^(?:\1|\.\.\.)[ \t]*(?:\n|\Z)", re.MULTILINE | re.DOTALL)


@dataclass
class Section:
    """A heading with what stands below it up to the next one.

    Attributes:
        title: the headings above it and its own, from the top down: see `read_markdown`.
        heading: its own, empty before the first heading.
        level: of the heading, 1 to 6; 0 before the first.
        line: where it begins in the file, counted from 1.
        blocks: paragraphs, lists, tables and code as lists of (line in the file, text).
    """

    title: str
    heading: str
    level: int
    line: int
    blocks: list[list[tuple[int, str]]] = field(default_factory=list)

    @property
    def body(self) -> str:
        return "\n\n".join("\n".join(text for _, text in block) for block in self.blocks)


def read_markdown(text: str, name: str) -> tuple[str, list[Section]]:
    """The document's title, and its sections, also those that have no text of their own.

    A section's title is the way to it, "Guide: Installing: Linux". With the book closed a model is asked for what
    it read by the title alone; "Installing" would be that of many documents, and of nothing. A file that has
    several headings of level 1 is a list of subjects, each of which stands for itself ("Ada Lind"); one with none
    is headed by the title of its front matter (YAML or TOML), or by `name`.

    Args:
        text: the file, with line feeds.
        name: the title where the file has none.
    """
    told, text = _front_matter(text)
    parts = _sections(text)
    tops = [part for part in parts if part.level == 1]
    # The document's own heading is the one of level 1, if it is one alone.
    document = told or (tops[0].heading if len(tops) == 1 else name)
    above: list[tuple[int, str]] = [] if tops else [(0, document)]
    for part in parts:
        above = [(level, heading) for level, heading in above if level < max(part.level, 1)]
        if part.level:
            above.append((part.level, part.heading))
        part.title = TITLE_JOINT.join(heading for _, heading in above) or document
    return document, [part for part in parts if part.level or part.blocks]


def _front_matter(text: str) -> tuple[str, str]:
    """The title in a file's front matter, and the file with empty lines in its place, so that lines keep count."""
    match = _FRONT_MATTER.match(text)
    if not match:
        return "", text
    try:
        told = tomllib.loads(match[2]) if match[1] == "+++" else yaml.safe_load(match[2])
    except (yaml.YAMLError, tomllib.TOMLDecodeError):
        return "", text
    if not isinstance(told, dict):  # two rulers with text between them
        return "", text
    title = told.get("title")
    rest = "\n" * text[: match.end()].count("\n") + text[match.end() :]
    return " ".join(str(title).split()) if title is not None else "", rest


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table")


def _sections(text: str) -> list[Section]:
    """Sections without their titles, in order."""
    parts = [Section("", "", 0, 1)]
    marks: list[str] = []  # of the lists around: what the next line of an item begins with
    row: list[str] = []
    row_line = 0
    place = (0, 0)  # of the block that lines belong to: its section, and its first line in the file
    begin = 0

    def add(line: int, shown: str) -> None:
        nonlocal place
        if place != (len(parts), begin):
            place = (len(parts), begin)
            parts[-1].blocks.append([])
        parts[-1].blocks[-1].append((line, shown))

    tokens = _parser().parse(text)
    for before, token in pairwise([Token("", "", 0), *tokens]):
        line = token.map[0] + 1 if token.map else begin
        if token.level == 0 and token.nesting >= 0:
            begin = line
        if token.type in ("bullet_list_open", "ordered_list_open"):
            marks.append("")
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            marks.pop()
        elif token.type == "list_item_open":
            marks[-1] = f"{token.info}. " if token.info else "- "
        elif token.type == "tr_open":
            row = []
        elif token.type == "tr_close" and any(row):
            add(row_line, " | ".join(row))
        elif token.type == "inline" and before.type in ("th_open", "td_open"):
            row_line = line
            row.append(_shown(token))
        elif token.type == "inline" and before.type == "heading_open" and before.level == 0:
            parts.append(Section("", _shown(token).replace("\n", " "), int(before.tag[1:]), line))
        elif token.type == "inline":
            for shown in filter(None, _shown(token).split("\n")):
                add(line, "  " * (len(marks) - 1) + "".join(marks[-1:]) + shown)
                marks[-1:] = ["  "] * len(marks[-1:])
        elif token.type in ("fence", "code_block"):
            fence = token.markup or "```"  # code that is only indented has none
            code = token.content.rstrip("\n").split("\n")
            first = line + (token.type == "fence")
            add(line, fence + token.info.strip())
            for number, shown in enumerate(code, start=first):
                add(number, shown)
            add(first + len(code) - (token.type != "fence"), fence)
        elif token.type == "html_block":
            for shown in filter(None, map(str.strip, _text_of_html(token.content).split("\n"))):
                add(line, shown)
    return parts


def _shown(token: Token) -> str:
    """The text that a paragraph shows: nothing where it is nothing but pictures."""
    children = token.children or []
    shown = []
    for child in children:
        if child.type == "softbreak":
            shown.append(" ")
        elif child.type == "hardbreak":
            shown.append("\n")
        elif child.type == "html_inline":
            shown.append(" " if child.content.lower().startswith("<br") else "")
        else:
            shown.append(child.content)
    says = any(child.content.strip() for child in children if child.type not in ("image", "html_inline"))
    return re.sub(r" {2,}", " ", "".join(shown)).strip() if says else ""


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.shown: list[str] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.silent += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in ("script", "style") and self.silent > 0

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.shown.append(data)


def _text_of_html(content: str) -> str:
    parser = _Text()
    parser.feed(content)
    parser.close()
    return "".join(parser.shown)
