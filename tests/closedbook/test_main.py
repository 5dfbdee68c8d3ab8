"""One command for everything: it lists what there is, runs it as the script does, and names the nearest one."""

import subprocess
import sys
from pathlib import Path

import pytest
import warm

from closedbook import __version__
from closedbook.__main__ import commands, main

CHECKOUT = Path(__file__).resolve().parents[2]


def test_every_entry_point_is_a_command_with_a_line_about_it():
    folders = [CHECKOUT / "scripts", *(path.parent for path in CHECKOUT.glob("scripts/*/__init__.py"))]
    scripts = {path.stem for folder in folders if folder.name != "benchmarks" for path in folder.glob("*.py")}
    assert set(commands()) == scripts - {"__init__"}
    assert all(line.endswith((".", "?")) for _, line in commands().values())


def test_the_list_is_made_without_importing_what_takes_seconds(tmp_path):
    check = "import sys; from closedbook.__main__ import main; main([]); print(*sorted(sys.modules))"
    process = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert "  pretrain " in process.stdout and "  laboratory_incontext " in process.stdout
    assert not {"torch", "transformers", "datasets", "numpy"} & set(process.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("argv", [["--version"], ["--help"], []])
def test_asking_what_there_is_succeeds(argv, capsys):
    assert main(argv) == 0
    assert __version__ in capsys.readouterr().out or argv != ["--version"]


def test_a_misspelled_command_names_the_nearest(capsys):
    assert main(["pretrian"]) == 2
    assert capsys.readouterr().err == "closedbook: pretrian is no command; did you mean pretrain?\n"
    assert main(["xyzzy"]) == 2
    assert capsys.readouterr().err == "closedbook: xyzzy is no command; closedbook --help lists them\n"


def test_a_command_is_the_script_and_its_record_says_how_it_was_started(tmp_path):
    sizes = ["--hidden_size", "16", "--num_hidden_layers", "1", "--num_attention_heads", "2", "--num_people", "10"]
    few = ["--max_steps", "1", "--eval_examples", "4", "--global_batch_size", "4", "--num_threads", "1"]
    command = [sys.executable, "-m", "closedbook", "pretrain", *sizes, *few, "--output_dir", "run"]
    process = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert process.returncode == 0, process.stderr
    record = (tmp_path / "run" / "run.json").read_text(encoding="utf-8")
    assert f'"command": "closedbook pretrain {" ".join([*sizes, *few])} --output_dir run"' in record
    assert "model.safetensors" in {path.name for path in (tmp_path / "run").iterdir()}


def test_a_flag_that_no_command_knows_ends_in_one_line(tiny, tmp_path):
    started = "from closedbook.__main__ import main; import sys; sys.exit(main(sys.argv[1:]))"
    process = warm.run(["-c", started, "pretrain", "--leanring_rate", "1"], tmp_path, tiny.environment())
    line = "closedbook pretrain: there is no flag --leanring_rate; did you mean --learning_rate?\n"
    assert (process.returncode, process.stderr) == (2, line)
