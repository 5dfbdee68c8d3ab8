"""The house: imports run one way, between rooms without a circle, and no room is too full to be looked over."""

import ast
from collections import Counter, defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
FLOORS = (
    "modeling",
    "data",
    "evaluation",
    "training",
    "scripts",
)  # each may import itself and what stands before it
FILES = sorted(path.relative_to(CHECKOUT) for floor in FLOORS for path in (CHECKOUT / floor).rglob("*.py"))
MOST_FILES = 15


@cache
def imported(path: Path) -> frozenset[Path]:
    """Files of ours that a file imports, at its top or inside of a function."""
    found = set()
    for node in ast.walk(ast.parse((CHECKOUT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {target for alias in node.names for target in files_of(alias.name)}
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(("closedbook", *path.parts[: len(path.parts) - node.level])) if node.level else ""
            module = ".".join(filter(None, (package, node.module)))
            found |= {target for alias in node.names for target in files_of(f"{module}.{alias.name}", module)}
    return frozenset(found - {path})


def files_of(*names: str) -> set[Path]:
    """The first of the names that is a module or package of ours, as a file."""
    for name in names:
        parts = name.split(".")
        if parts[0] == "closedbook" and len(parts) > 1:
            for file in (Path(*parts[1:]).with_suffix(".py"), Path(*parts[1:], "__init__.py")):
                if (CHECKOUT / file).is_file():
                    return {file}
    return set()


def room(path: Path) -> str:
    """The folder of a file; a file that stands on a floor itself is a room of its own."""
    return str(path.parent if len(path.parts) > 2 else path.with_suffix(""))


def arrows(floors: tuple[str, ...] = FLOORS) -> dict[str, set[str]]:
    """Room -> rooms that it imports, of these floors."""
    found = defaultdict(set)
    for path in FILES:
        if path.parts[0] in floors:
            found[room(path)] |= {room(target) for target in imported(path) if target.parts[0] in floors}
    return {name: targets - {name} for name, targets in found.items()}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_run_one_way_between_the_floors(path):
    allowed = FLOORS[: FLOORS.index(path.parts[0]) + 1]
    assert not [str(target) for target in imported(path) if target.parts[0] not in allowed]


def test_rooms_import_each_other_without_a_circle():
    try:
        list(TopologicalSorter(arrows()).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_the_evaluation_can_be_looked_over():
    inside = arrows(("evaluation",))
    rooms = {name for name in inside if "metrics" not in name and not name.endswith("__init__")}
    drawn = sum(len(targets & rooms) for name, targets in inside.items() if name in rooms)
    assert len(rooms) <= 16 and drawn <= 45, f"{len(rooms)} rooms, {drawn} arrows: {sorted(rooms)}"


def test_no_room_is_too_full():
    count = Counter(str(path.parent) for path in FILES if path.name != "__init__.py")
    assert {name: number for name, number in count.items() if number > MOST_FILES} == {}


def test_no_prefix_is_a_room_that_was_not_made():
    prefixes = Counter((str(path.parent), path.stem.partition("_")[0]) for path in FILES if "_" in path.stem)
    assert {prefix: number for prefix, number in prefixes.items() if number >= 5} == {}


def test_a_file_does_not_repeat_the_name_of_its_room():
    own = [path for path in FILES if path.parts[0] != "modeling"]  # there transformers' names are the convention
    repeated = [str(path) for path in own if path.stem.startswith(f"{path.parent.name}_")]
    assert repeated == []


def test_an_entry_point_can_be_read_to_its_end():
    long = [
        path for path in FILES if path.parts[0] == "scripts" and path.parent.name in ("scripts", "experiments")
    ]
    assert {str(path) for path in long if len((CHECKOUT / path).read_text().splitlines()) > 80} == set()


def test_this_reader_of_imports_sees_every_form_of_them():
    assert Path("data/mixture.py") in imported(Path("training/pretraining.py"))
    assert Path("modeling/blocks.py") in imported(Path("modeling/modeling_gpt.py"))  # relative
    assert Path("training/pretraining.py") in imported(Path("scripts/pretrain.py"))
    assert any(target.parts[0] == "evaluation" for target in imported(Path("training/conversion/course.py")))
