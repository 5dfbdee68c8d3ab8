"""Static rules: what may import what, so that a checkpoint's code travels and no class exists twice."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("modeling", "data", "evaluation", "training", "scripts")
MODELING = sorted((ROOT / "modeling").glob("*.py"))
EVERY = sorted(path for room in (*ROOMS, "tests") for path in (ROOT / room).rglob("*.py"))
ALLOWED_IN_MODELING = {"torch", "transformers", "tokenizers", "huggingface_hub"} | sys.stdlib_module_names


def imports(path: Path) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node


def imported_modules(path: Path) -> Iterator[str]:
    """Absolute names only."""
    for node in imports(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif not node.level:
            yield node.module


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", EVERY, ids=named)
def test_no_file_imports_a_room_by_its_bare_name(path):
    bare = [name for name in imported_modules(path) if name.split(".")[0] in ROOMS]
    assert not bare, f"import closedbook.{bare[0]} instead"


@pytest.mark.parametrize("path", MODELING, ids=named)
def test_relative_imports_in_modeling_have_the_only_form_that_travels(path):
    for node in imports(path):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1 and node.module and "." not in node.module, f"line {node.lineno}"
            assert (path.parent / f"{node.module}.py").is_file(), f"line {node.lineno}"


@pytest.mark.parametrize("path", MODELING, ids=named)
def test_modeling_needs_only_its_siblings_and_the_libraries_that_every_reader_has(path):
    foreign = [name for name in imported_modules(path) if name.split(".")[0] not in ALLOWED_IN_MODELING]
    assert not foreign


def test_modeling_is_flat():
    assert not [path for path in (ROOT / "modeling").iterdir() if path.is_dir() and path.name != "__pycache__"]
