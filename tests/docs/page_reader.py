"""Pages in Markdown as their tests read them: prose, fenced blocks, anchors, links, and commands."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from closedbook.__main__ import ROOMS as ROOMS_OF_COMMANDS

CHECKOUT = Path(__file__).resolve().parents[2]
ROOMS = ("modeling", "data", "evaluation", "training", "scripts")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_GENERATED = re.compile(r"<!-- report:[\w.-]+ -->\n.*?<!-- /report -->", re.DOTALL)
_LAUNCHER_FLAGS = (
    "--config_file",
    "--num_processes",
    "--num_machines",
    "--machine_rank",
    "--main_process_ip",
)  # each with a value


@dataclass(frozen=True)
class Fenced:
    """A fenced block: the page's name, its language ("" for none), and what it holds."""

    page: str
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """One command of a page: the program (a script's path, also for `closedbook NAME`) and its arguments."""

    page: str
    program: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {self.program} {' '.join(self.arguments)}"


def pages() -> list[Path]:
    """All pages that people read, except for the generated list of files."""
    front = [CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return front + sorted(path for path in (CHECKOUT / "docs").glob("*.md") if path.name != "tree.md")


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", text)


def typed(text: str) -> str:
    """A page without its fenced blocks and without what is generated."""
    return prose(_GENERATED.sub("", text))


def fenced(path: Path) -> list[Fenced]:
    return [Fenced(name_of(path), language, text) for language, text in _FENCE.findall(read(path))]


def links(text: str) -> list[str]:
    """Targets of links and pictures, those of the web left out."""
    found = re.findall(r"\]\(([^()\s]+)\)", prose(text))
    return [target for target in found if not re.match(r"\w+:", target)]


def anchors(text: str) -> set[str]:
    """What links to the headings of a page say after `#`, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


def commands(path: Path) -> list[Command]:
    """Every command of the bash blocks of a page; lines that go on, comments and `&&` are understood."""
    found = []
    for block in fenced(path):
        if block.language == "bash":
            for line in block.text.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                while words:
                    end = words.index("&&") if "&&" in words else len(words)
                    found.append(_command(block.page, words[:end]))
                    words = words[end + 1 :]
    return found


def _command(page: str, words: list[str]) -> Command:
    words = words[next(i for i, word in enumerate(words) if not re.fullmatch(r"[A-Z_]+=\S*", word)) :]
    if words[:2] == ["accelerate", "launch"]:
        words = words[2:]
        while words[0] in _LAUNCHER_FLAGS:
            words = words[2:]
    elif words[0] == "python" and words[1] != "-c":
        words = words[1:]
    if words[0] == "-m":
        words = words[1:]
    if words[0] == "closedbook":
        words = [script_of(words[1]), *words[2:]]
    return Command(page, words[0], tuple(words[1:]))


def script_of(name: str) -> str:
    """The script that `closedbook NAME` starts; a path that does not exist where there is none."""
    paths = [f"{room.replace('.', '/')}/{name}.py" for room in ROOMS_OF_COMMANDS]
    return next((path for path in paths if (CHECKOUT / path).exists()), paths[0])
