"""Take golden records: what the code does to the last bit, so that moving it can be held to that.

    python tests/golden/record.py                        # all but the demo: about a minute
    python tests/golden/record.py --only demo            # about 5 minutes on 2 idle cores

Writes `tests/golden/*.json`. The records there were taken with commit 156beb9, the last one before all files moved
into rooms within rooms; `test_golden.py` takes them again and compares. Take them anew only where behaviour is
meant to change, and say so in LOG.md. (`--only make_checkpoints` wrote `old_checkpoints/`, with the old code;
with newer code they would prove nothing.)

@@VERIFIED@@
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from golden_environment import HERE, describe_machine, ensure_golden_environment, write_json

CONCERNS = ("training", "data", "checkpoints", "blocks")  # training: asking.json, too
ON_REQUEST = ("demo", "make_checkpoints")


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=(*CONCERNS, *ON_REQUEST), default=CONCERNS)
    parser.add_argument("--output_dir", type=Path, default=HERE, help="folder for the records")
    parser.add_argument("--checkout", type=Path, default=HERE.parents[1], help="where scripts/ and README.md are")
    parser.add_argument("--demo_folder", type=Path, help="a demo that has been run already")
    args = parser.parse_args(argv)
    output, checkout = args.output_dir.resolve(), args.checkout.resolve()
    demo_folder = args.demo_folder and args.demo_folder.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        for name, content in take(args.only, checkout, demo_folder):
            failed = [key for key, record in content.items() if isinstance(record, dict) and "error" in record]
            for key in failed:
                print(f"{name}, {key}: {content[key]['error']}", file=sys.stderr)
            write_json(output / f"{name}.json", content)
        os.chdir(output)


def take(concerns, checkout: Path, demo_folder: Path | None):
    """The records of each concern, as they are ready: name of the file, content."""
    from golden_checkpoints import STORED, make_checkpoints, record_checkpoints
    from golden_data import record_data
    from golden_pages import hash_block, read_blocks, read_demo, run_demo
    from golden_training import record_asking, record_training

    if "make_checkpoints" in concerns:
        make_checkpoints(checkout, STORED)
    if set(concerns) & {"training", "data", "checkpoints"}:
        yield "machine", describe_machine()
    if "blocks" in concerns:
        yield "blocks", {name: hash_block(contents[0]) for name, contents in read_blocks(checkout).items()}
    if "data" in concerns:
        yield "data", record_data()
    if "training" in concerns:
        yield "training", record_training(checkout)
        yield "asking", record_asking(checkout)
    if "checkpoints" in concerns:
        yield "checkpoints", record_checkpoints(checkout)
    if "demo" in concerns:
        folder = demo_folder or Path("demo").resolve()
        if demo_folder is None:
            run_demo(checkout, folder)
        yield "demo", read_demo(folder) | {"recorded on": describe_machine()}


if __name__ == "__main__":
    ensure_golden_environment()
    main(sys.argv[1:])
