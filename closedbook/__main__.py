"""One command for everything: `closedbook pretrain ...` is `python scripts/pretrain.py ...`.

closedbook                          lists the commands
closedbook pretrain --help          the flags of one
accelerate launch -m closedbook pretrain --recipe ...
"""

import ast
import importlib
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from closedbook import __version__

ROOMS = ("scripts", "scripts.experiments", "scripts.size")


def commands() -> dict[str, tuple[str, str]]:
    """Name -> (module, what it does in one line), as the scripts' docstrings say; no script is imported for it."""
    found = {}
    for room in ROOMS:
        spec = find_spec(f"closedbook.{room}")
        assert spec and spec.submodule_search_locations, f"{room} is a package"
        for path in sorted(Path(spec.submodule_search_locations[0]).glob("[!_]*.py")):
            docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            found[path.stem] = f"closedbook.{room}.{path.stem}", docstring.partition("\n")[0]
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 for success, 2 for a command that there is not or what is wrong with its flags."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["--version"]:
        print(f"closedbook {__version__}")
        return 0
    known = commands()
    if not argv or argv[0] in ("-h", "--help", "help"):
        width = max(map(len, known))
        print("usage: closedbook COMMAND [flags]\n")
        print("\n".join(f"  {name:{width}}  {line}" for name, (_, line) in known.items()))
        print("\nclosedbook COMMAND --help lists the flags of a command.")
        return 0
    name = argv[0]
    if name not in known:
        nearest = get_close_matches(name, known, n=1)
        guess = f"did you mean {nearest[0]}?" if nearest else "closedbook --help lists them"
        print(f"closedbook: {name} is no command; {guess}", file=sys.stderr)
        return 2
    sys.argv = [f"closedbook {name}", *argv[1:]]  # what parsers and records of a run see
    from closedbook.training.checks.commands import run_command

    # imported inside, so that a Ctrl-C meanwhile ends in a line, too
    return run_command(lambda words: importlib.import_module(known[name][0]).main(words), argv[1:])


if __name__ == "__main__":
    sys.exit(main())
