"""Flags and recipes into arguments: the same names on the command line and in YAML."""

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import yaml
from transformers import HfArgumentParser

RECIPES = Path(__file__).resolve().parents[1] / "scripts" / "recipes"  # in a checkout and in an installed package


def parse_arguments(dataclass_types: Sequence[type], argv: Sequence[str]):
    """Read `--recipe file.yaml` first, then the flags, which win.

    Raises:
        FileNotFoundError: if the recipe does not exist.
        ValueError: for a recipe that is not a mapping, or has a key that is no argument (all are named) or a
            key without a value.
    """
    argv = [part for flag in argv for part in (flag.split("=", 1) if flag.startswith("--recipe=") else [flag])]
    recipe = None
    if "--recipe" in argv:
        place = argv.index("--recipe")
        if place + 1 >= len(argv):
            raise ValueError("--recipe needs a file")
        recipe = Path(argv[place + 1])
        argv = _recipe_flags(recipe, dataclass_types) + argv[:place] + argv[place + 2 :]
    parser = HfArgumentParser(dataclass_types)
    return (*parser.parse_args_into_dataclasses(argv), recipe)


def recipe_name(recipe: Path | None) -> str | None:
    """How a run file names its recipe: as typed, or the file's name where a whole path was typed."""
    if recipe is None:
        return None
    return recipe.name if recipe.is_absolute() else recipe.as_posix()


def _recipe_flags(recipe: Path, dataclass_types: Sequence[type]) -> list[str]:
    if not recipe.is_file():
        raise FileNotFoundError(f"recipe {recipe} does not exist")
    try:
        content = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"recipe {recipe} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"recipe {recipe} must map argument names to values")
    known = {item.name for kind in dataclass_types for item in fields(kind) if item.init}
    unknown = sorted(map(str, set(content) - known))
    if unknown:
        raise ValueError(f"recipe {recipe}: no such argument: {', '.join(unknown)}")
    flags = []
    for name, value in content.items():
        if value is None or value == []:
            raise ValueError(f"recipe {recipe}: {name} has no value; leave the line out for the default")
        flags.append(f"--{name}")
        if isinstance(value, dict):
            flags.append(json.dumps(value))
        elif isinstance(value, list):
            flags.extend(str(item) for item in value)
        else:
            flags.append(str(value))
    return flags
