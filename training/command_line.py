"""Flags and recipes into arguments: the same names on the command line and in YAML."""

import json
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import yaml
from transformers import HfArgumentParser

RECIPES = Path(__file__).resolve().parents[1] / "scripts" / "recipes"  # in a checkout and in an installed package

Settings = TypeVar("Settings")


class _NearestFlags(ArgumentParser):
    """An argument parser that names the nearest flag it knows for one that it does not, in one line."""

    def refuse_unknown(self, argv: Sequence[str], others: Sequence[str] = ()) -> None:
        """Leave with status 2 where a flag is unknown, before anything else is looked at.

        A beginning that fits one flag only is as good as the flag, as argparse has it.

        Args:
            argv: the words.
            others: flags that are read elsewhere: not among the words, but perhaps what was meant.
        """
        known = [name for name in self._option_string_actions if name.startswith("--")]
        for word in argv:
            name = word.partition("=")[0]
            if re.fullmatch(r"--[A-Za-z]\w.*", name) and not any(flag.startswith(name) for flag in known):
                nearest = get_close_matches(name, [*known, *others], n=1, cutoff=0.6)
                guess = f"; did you mean {nearest[0]}?" if nearest else "; --help lists the flags"
                self.error(f"there is no flag {name}{guess}")

    def error(self, message: str) -> NoReturn:
        """One line; the usage of a parser with hundreds of flags would hide it."""
        self.exit(2, f"{self.prog}: {message}\n")


class FlagParser(_NearestFlags):
    """argparse's parser, which names the nearest flag."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Namespace:
        self.refuse_unknown(sys.argv[1:] if args is None else args)
        return super().parse_args(args, namespace)


class _DataclassParser(HfArgumentParser, _NearestFlags):
    """transformers' parser, which makes flags of the fields of dataclasses, likewise."""


def parse_flags(
    dataclass_types: type | Sequence[type], argv: Sequence[str], others: Sequence[str] = ()
) -> tuple[Any, ...]:
    """One object a dataclass, each field a flag.

    An unknown flag, a missing one, a value of the wrong kind, or a word that belongs to no flag ends the program
    with status 2 and one line that says which.

    Args:
        dataclass_types: what to make.
        argv: the words.
        others: flags that the caller reads itself, for those who misspell them.
    """
    parser = _DataclassParser(cast(Any, dataclass_types))
    parser.refuse_unknown(argv, others)
    *parsed, left_over = parser.parse_args_into_dataclasses(list(argv), return_remaining_strings=True)
    if left_over:
        parser.error(f"no flag takes {' '.join(left_over)}")
    return tuple(parsed)


def parse_arguments(dataclass_types: Sequence[type], argv: Sequence[str]) -> tuple[Any, ...]:
    """Read `--recipe file.yaml` first, then the flags, which win.

    Each of the dataclasses has the names of what the words and the recipe give as its attribute `named`, be it the
    default. Beside a recipe, it also has the names of the flags that were typed as its attribute `typed`.

    Raises:
        FileNotFoundError: if the recipe does not exist.
        ValueError: for a recipe that is not a mapping, or has a key that is no argument (all are named) or a
            key without a value.
    """
    argv = [part for flag in argv for part in (flag.split("=", 1) if flag.startswith("--recipe=") else [flag])]
    recipe, typed = None, [word.partition("=")[0][2:] for word in argv if word.startswith("--")]
    if "--recipe" in argv:
        place = argv.index("--recipe")
        if place + 1 >= len(argv):
            raise ValueError("--recipe needs a file")
        recipe = Path(argv[place + 1])
        argv = _recipe_flags(recipe, dataclass_types) + argv[:place] + argv[place + 2 :]
    parsed = parse_flags(dataclass_types, argv, ["--recipe"])
    words = [word.partition("=")[0][2:] for word in argv if word.startswith("--")]
    flags = {item.name for arguments in parsed for item in fields(arguments)}
    for arguments in parsed:
        arguments.named = frozenset(
            item.name
            for item in fields(arguments)
            for word in words
            if item.name == word or (word not in flags and item.name.startswith(word))
        )
    for arguments in parsed if recipe else ():
        names = (item.name for item in fields(arguments))
        arguments.typed = frozenset(name for name in names if any(name.startswith(word) for word in typed))
    return (*parsed, recipe)


def recipe_name(recipe: Path | None) -> str | None:
    """How a run file names its recipe: as typed, or the file's name where a whole path was typed."""
    if recipe is None:
        return None
    return recipe.name if recipe.is_absolute() else recipe.as_posix()


class _Once(yaml.SafeLoader):
    """YAML of which no key may come twice: the library would let the later value win without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [(key.value, key.start_mark.line + 1) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for place, (name, line) in enumerate(keys):
            earlier = next((first for other, first in keys[:place] if other == name), None)
            if earlier is not None:
                raise ValueError(f"{name} stands in line {earlier} and again in line {line}: keep one of them")
        return super().construct_mapping(node, deep)


def read_recipe(recipe: str | Path) -> dict[str, Any]:
    """The content of a recipe: names of arguments and their values.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no YAML, no mapping, or gives a value twice.
    """
    recipe = Path(recipe)
    if not recipe.is_file():
        raise FileNotFoundError(f"recipe {recipe} does not exist")
    try:
        content = yaml.load(recipe.read_text(encoding="utf-8"), _Once)
    except yaml.YAMLError as error:
        raise ValueError(f"recipe {recipe} is not YAML: {error}") from error
    except ValueError as error:
        raise ValueError(f"recipe {recipe}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"recipe {recipe} must map argument names to values")
    return content


def _recipe_flags(recipe: Path, dataclass_types: Sequence[type]) -> list[str]:
    content = read_recipe(recipe)
    known = {item.name for kind in dataclass_types for item in fields(kind) if item.init}
    unknown = sorted(map(str, set(content) - known))
    if unknown:
        nearest = {name: get_close_matches(name, sorted(known), n=1) for name in unknown}
        told = [name + (f" (did you mean {near[0]}?)" if near else "") for name, near in nearest.items()]
        raise ValueError(f"recipe {recipe}: no such argument: {', '.join(told)}")
    for name, value in content.items():
        if value is None or value == []:
            raise ValueError(f"recipe {recipe}: {name} has no value; leave the line out for the default")
    return as_flags(content)


def as_flags(values: Mapping[str, Any]) -> list[str]:
    """Names with their values as one types them on a command line: lists word by word, mappings as JSON."""
    flags = []
    for name, value in values.items():
        flags.append(f"--{name}")
        if isinstance(value, dict):
            flags.append(json.dumps(value))
        elif isinstance(value, list | tuple):
            flags.extend(str(item) for item in value)
        else:
            flags.append(str(value))
    return flags


def parse_settings(
    settings: type[Settings], kinds: Sequence[type], argv: Sequence[str], values: Mapping[str, Any]
) -> Settings:
    """Settings of a stage, one field for each of `kinds` in their order and `recipe`, from flags and from values.

    The values, by the names of the flags, come last and win: so a caller in Python says only what it changes of a
    recipe, and everything passes the same checks as what a user types.
    """
    *parsed, recipe = parse_arguments(kinds, [*argv, *as_flags(values)])
    names = [item.name for item in fields(cast(Any, settings)) if item.name != "recipe"]
    return cast(Any, settings)(**dict(zip(names, parsed, strict=True)), recipe=recipe_name(recipe))
