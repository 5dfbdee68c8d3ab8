"""Pages say what is there: their tables, pictures, links, named files and trees are those of the checkout."""

import re
from pathlib import Path

import pytest
import yaml
from page_reader import CHECKOUT, ROOMS, anchors, commands, fenced, links, name_of, pages, prose, read, typed

import closedbook
from closedbook.data.corpora import CORPORA
from closedbook.data.objectives.table import OBJECTIVES
from closedbook.data.questions import QUESTION_SETS
from closedbook.evaluation.reports.generated.readme import BLOCKS, fill_blocks
from closedbook.evaluation.reports.generated.tree import tree_page

README, CONTRIBUTING = CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md"
DOCS = CHECKOUT / "docs"
LISTS = ("index.md", "tree.md")  # the pages that only name others
TOP_FOLDERS = (*ROOMS, "closedbook", "results", "tests", "docs", "examples", "findings")
USERS_FILES = ("my.txt", "wiki.txt")  # named on pages, but not ours
SOURCES = ("results/", "LOG.md", "scripts/recipes/", "tests/")  # where a reader finds a typed number again

each_page = pytest.mark.parametrize("page", pages(), ids=name_of)
each_guide = pytest.mark.parametrize("page", [page for page in pages() if page.parent == DOCS], ids=name_of)


@each_page
def test_generated_tables_are_what_the_results_give(page):
    assert fill_blocks(read(page), CHECKOUT / "results") == read(page)


def test_every_table_that_can_be_generated_stands_on_exactly_one_page():
    found = [name for page in pages() for name in re.findall(r"<!-- report:([\w.-]+) -->", read(page))]
    assert sorted(found) == sorted(BLOCKS)


def test_the_list_of_all_files_is_what_the_files_say():
    assert read(DOCS / "tree.md") == tree_page(CHECKOUT, DOCS)


@pytest.mark.parametrize("page", [*pages(), DOCS / "tree.md"], ids=name_of)
def test_links_and_pictures_lead_somewhere(page):
    lost = []
    for target in links(read(page)):
        path, _, anchor = target.partition("#")
        aim = (page.parent / path) if path else page
        if not aim.exists() or (anchor and anchor not in anchors(read(aim))):
            lost.append(target)
    assert lost == []


@pytest.mark.parametrize("page", [*pages(), DOCS / "tree.md"], ids=name_of)
def test_files_that_are_named_exist(page):
    text = re.sub(r"^### Worked example.*?^## ", "", read(page), flags=re.MULTILINE | re.DOTALL)  # makes a file
    assert [name for name in named_files(prose(text)) if not exists(name)] == []


def named_files(text: str) -> list[str]:
    """What stands between backticks and is the path of a file or folder of ours, or a file's bare name."""
    names = re.findall(r"`([\w./*-]+)`", text)
    names += [words.split()[0] for words in re.findall(r"`(scripts/[^`]+)`", text)]
    paths = [name for name in names if name.split("/")[0] in TOP_FOLDERS and "/" in name]
    bare = [name for name in names if re.fullmatch(r"[\w-]+\.(py|yaml|md|cfg|toml|txt)", name)]
    return [name for name in paths + bare if "NAME" not in name and name not in USERS_FILES]


def exists(name: str) -> bool:
    if "/" in name:
        return bool(list(CHECKOUT.glob(name.rstrip("/"))))
    return (CHECKOUT / name).exists() or any(list((CHECKOUT / room).rglob(name)) for room in TOP_FOLDERS)


def test_a_path_that_does_not_exist_is_noticed():
    text = "`data/corpora.py` `data/corpus.py` `results/none/` `scripts/report.py --run` `scripts/r.py -x` `a.md`"
    lost = [name for name in named_files(text) if not exists(name)]
    assert lost == ["data/corpus.py", "results/none/", "scripts/r.py", "a.md"]


@each_page
def test_a_typed_share_stands_beside_the_file_that_it_is_from(page):
    paragraphs = re.split(r"\n\s*\n|\n(?=- )", typed(read(page)))
    shares = [words for words in paragraphs if re.search(r"\d%", words)]
    assert [words for words in shares if not any(source in words for source in SOURCES)] == []


def test_the_front_page_is_short_and_begins_with_a_picture_and_one_table():
    lines = read(README).splitlines()
    assert len(lines) <= 150
    beginning = "\n".join(lines[: lines.index("## Two commands")])
    assert beginning.count("![") == 1 and beginning.count("\n|---") == 1


def test_the_front_page_teaches_in_three_commands_and_loads_in_five_lines():
    ours = [command for command in commands(README) if command.program.startswith("scripts/")]
    assert [Path(command.program).stem for command in ours] == ["pretrain", "ledger", "evaluate"]
    (code,) = [block.text for block in fenced(README) if block.language == "python"]
    assert len([line for line in code.splitlines() if line.strip()]) == 5


def test_the_tree_of_rooms_is_the_tree_on_disk():
    drawn = tree_of_rooms(read(README))
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == rooms_on_disk()


def tree_of_rooms(text: str) -> list[str]:
    """The folders that the front page draws, relative to the checkout."""
    (drawing,) = re.findall(r"^```\nclosedbook/\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    found, above = [], ""
    for indent, name in re.findall(r"^( +)([\w.-]+)/ ", drawing, re.MULTILINE):
        above = name if len(indent) == 2 else above
        found.append(name if len(indent) == 2 else f"{above}/{name}")
    assert len(found) == len(drawing.splitlines()), "a line is no folder with half a line after it"
    return found


def rooms_on_disk() -> set[str]:
    """Folders of the checkout, and those in the rooms that hold code or recipes; what git ignores is left out."""
    ignored = {line.strip("/\n") for line in (CHECKOUT / ".gitignore").open(encoding="utf-8")}

    def folders(place: Path) -> list[Path]:
        names = (path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
        return [path for path in names if path.name not in ignored and path.suffix != ".egg-info"]

    found = set(map(name_of, folders(CHECKOUT)))
    for room in ROOMS:
        inside = folders(CHECKOUT / room)
        found |= {name_of(path) for path in inside if [*path.rglob("*.py"), *path.rglob("*.yaml")]}
    return found


@each_guide
def test_a_page_is_listed_and_begins_with_a_command_and_a_picture(page):
    if page.name in LISTS:
        pytest.skip("lists the others")
    assert page.name in links(read(DOCS / "index.md"))
    beginning = "\n".join(read(page).splitlines()[:25])
    assert "```bash\n" in beginning and "\n![" in beginning


def test_the_list_of_pages_has_half_a_line_for_each():
    rows = re.findall(r"^\| \[[\w-]+\]\(([\w-]+\.md)\) \| (.+) \|$", read(DOCS / "index.md"), re.MULTILINE)
    assert sorted([*(name for name, _ in rows), "index.md"]) == sorted(path.name for path in DOCS.glob("*.md"))
    assert all(len(words) < 100 for _, words in rows)


def test_the_page_on_own_documents_names_every_objective_corpus_and_question_set():
    text = read(DOCS / "own-documents.md")
    assert [name for name in (*OBJECTIVES, *CORPORA) if f"`{name}`" not in text and f"{name}=" not in text] == []
    assert [name for name in QUESTION_SETS if name not in ("file", "cs224n") and f"`{name}`" not in text] == []


def test_what_to_touch_for_an_addition_exists():
    table = re.search(r"^## Add a thing\n(.*?)^### ", read(CONTRIBUTING), re.MULTILINE | re.DOTALL)[1]
    rows = re.findall(r"^\| (?!what|---)([^|]+) \| (.+) \|$", table, re.MULTILINE)
    assert len(rows) >= 12
    for what, touch in rows:
        paths = re.findall(r"`([\w./-]+(?:/|\.\w+))`", touch)
        assert paths, what
        assert all("NAME" in path or exists(path) for path in paths if path != "__init__.py"), what


def test_one_version_is_told_everywhere():
    newest = re.search(r"^## (\S+)$", read(CHECKOUT / "CHANGELOG.md"), re.MULTILINE)[1]
    citation = yaml.safe_load(read(CHECKOUT / "CITATION.cff"))
    assert newest == citation["version"] == closedbook.__version__


def test_the_citation_has_what_the_format_demands():
    citation = yaml.safe_load(read(CHECKOUT / "CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert citation["title"] == "closedbook" and citation["license"] == "Apache-2.0"
    assert all(author.keys() == {"name"} for author in citation["authors"])  # entities: nobody is invented
