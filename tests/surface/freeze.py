"""Write down the public surface: the names that may be imported, with signatures, and the flags of every command.

    python tests/surface/freeze.py

`names.txt` and `flags.txt` are held by test_surface.py: whoever changes the surface changes these files, and sees
in the difference what users will see.
"""

import argparse
import importlib
import inspect
import re
import sys
from pathlib import Path

from closedbook.__main__ import commands

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
ROOMS = (
    "closedbook",
    "closedbook.modeling",
    *(f"closedbook.{room}" for room in ("data", "data.objectives", "data.people", "data.generated", "evaluation")),
    *(
        f"closedbook.evaluation.{room}"
        for room in ("answering", "knowing", "laboratory", "ledger", "prompting", "attention")
    ),
    *(f"closedbook.evaluation.{room}" for room in ("statistics", "reports")),
    "closedbook.training",
)
# What a command needs before its flags; most need nothing.
SUBCOMMANDS = {"explore_attention": [["constructions"], ["model"]], "laboratory": [["extraction"]]}


class _Parsed(Exception):
    """Raised in place of parsing, with the parser."""


def names() -> list[str]:
    """One line a public name: where it is found, and how it is called; classes of other packages by name alone."""
    lines = []
    for room in ROOMS:
        module = importlib.import_module(room)
        for name in sorted(module.__all__):
            found = getattr(module, name)
            lines.append(f"{room}.{name}{_signature(found)}")
    return lines


def _signature(found) -> str:
    if inspect.isclass(found) or inspect.isfunction(found):
        try:
            return _plain(str(inspect.signature(found)))
        except ValueError:  # a class of C has none
            return ""
    if isinstance(found, dict):  # what a recipe may name
        return f": {', '.join(map(str, found))}"
    return f": {type(found).__name__}"


def entry_points() -> dict[str, str]:
    """Name -> module of all that is started with flags: the commands, and the benchmarks, which are none."""
    found = {command: module for command, (module, _) in commands().items()}
    for path in (CHECKOUT / "scripts" / "benchmarks").glob("[!_]*.py"):
        if "__main__" in path.read_text(encoding="utf-8"):
            found[f"benchmarks/{path.stem}"] = f"closedbook.scripts.benchmarks.{path.stem}"
    return found


def flags() -> list[str]:
    """One line a flag of a command: its kind, its choices and its default."""
    lines = []
    for command, module in sorted(entry_points().items()):
        main = importlib.import_module(module).main
        for before in SUBCOMMANDS.get(command, [[]]):
            for action in _parser_of(main, before)._actions:
                if action.option_strings and action.dest != "help":
                    lines.append(" ".join([command, *before, _describe(action)]))
    return lines


def _parser_of(main, argv: list[str]) -> argparse.ArgumentParser:
    def stop(self, *args, **kwargs):
        raise _Parsed(self)

    parse = argparse.ArgumentParser.parse_known_args
    argparse.ArgumentParser.parse_known_args = stop
    try:
        main(argv)
    except _Parsed as parsed:
        return parsed.args[0]
    finally:
        argparse.ArgumentParser.parse_known_args = parse
    raise AssertionError(f"{main} parsed no flags")


def _describe(action: argparse.Action) -> str:
    kind = (
        "flag"
        if action.nargs == 0
        else getattr(action.type, "__name__", "str" if action.type is None else "value")
    )
    parts = [action.option_strings[0], kind, *([f"nargs={action.nargs}"] if action.nargs else [])]
    if action.choices:
        parts.append(f"choices={list(action.choices)}")
    parts.append("required" if action.required else f"default={action.default!r}")
    return _plain(" ".join(parts))


def _plain(text: str) -> str:
    """Without what differs from machine to machine or run to run."""
    text = re.sub(r"<function (\w+) at 0x[0-9a-f]+>", r"\1", text)
    return " ".join(text.replace(str(CHECKOUT) + "/", "").split())


def main() -> None:
    for name, lines in (("names.txt", names()), ("flags.txt", flags())):
        (HERE / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
