"""One file of figures for all that is measured of size; each part knows how it came about."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from closedbook.evaluation.environment import run_environment
from closedbook.evaluation.files import read_json_object, write_json_atomic

DESCRIPTION = "What size costs beside a former build: large corpora, a million questions, several processes"


def keep(part: str, figures: dict[str, Any], args: Any) -> dict[str, Any]:
    """Print the figures of a part, and write them where its flags say; what the file has of other parts stays.

    Args:
        part: its name; `runs` of the file says by which command, on which machine and from which commit it
            was made.
        figures: by name; the names of all parts are different.
        args: its flags, with `output`.
    """
    # folders of a machine say nothing to others
    settings = asdict(args)
    for name in ("work_dir", "former", "recipe", "corpus_path"):
        if settings.get(name):
            settings[name] = Path(settings[name]).name
    made = {"settings": settings, **run_environment()}
    path = Path(args.output) if args.output is not None else None
    kept = read_json_object(path) if path is not None and path.exists() else {}
    content = {"description": DESCRIPTION} | kept | figures | {"runs": kept.get("runs", {}) | {part: made}}
    if path is not None:
        write_json_atomic(path, content)
    print(json.dumps(figures | made), flush=True)
    return content
