"""What pages tell to type: every command of ours parses, and those that take seconds are run."""

import argparse
import ast
import importlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from page_reader import CHECKOUT, commands, fenced, name_of, pages, prose, read, script_of
from transformers import HfArgumentParser

from closedbook import __main__ as console
from closedbook.training.asking import reporting

README = CHECKOUT / "README.md"
THEIRS = {"sbatch", "git", "cd", "pip", ".", "hf", "python", "http.server"}  # programs that are not ours
COMMANDS = [command for page in pages() for command in commands(page)]
OURS = [command for command in COMMANDS if command.program.startswith("scripts/")]
PYTHON = [block for page in pages() for block in fenced(page) if block.language == "python"]


class Parsed(Exception):
    """The flags were read; nothing else is to happen."""


@pytest.fixture
def parse(monkeypatch):
    """Have a script of ours read its flags, and stop there.

    A command with `...` leaves out what every reader fills in, so of it only the names of the flags are checked.
    """
    monkeypatch.chdir(CHECKOUT)  # recipes are named from there
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "")  # the arguments of training set it
    whole = HfArgumentParser.parse_args_into_dataclasses

    def read_flags(parser, args=None, **options):
        if "..." in args:
            flags = {word.partition("=")[0] for word in args if word.startswith("--")}
            assert flags <= parser._option_string_actions.keys()
        else:
            whole(parser, args, **options)
        raise Parsed

    def read_plain_flags(parser, args=None, namespace=None):
        namespace, unknown = parser.parse_known_args(args, namespace)
        assert unknown == []
        raise Parsed

    monkeypatch.setattr(HfArgumentParser, "parse_args_into_dataclasses", read_flags)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", read_plain_flags)

    def parse(script: str, arguments: list[str]) -> None:
        module = importlib.import_module("closedbook." + script.removesuffix(".py").replace("/", "."))
        module.main(arguments)

    return parse


def test_every_command_of_a_page_is_of_a_known_program():
    targets = re.findall(r"^([\w-]+):", read(CHECKOUT / "Makefile"), re.MULTILINE)
    for command in COMMANDS:
        if command.program == "make":
            assert command.arguments[0] in targets, command
        else:
            ours = command in OURS and (CHECKOUT / command.program).exists()
            assert ours or command.program in THEIRS, command


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_a_command_that_is_named_is_one(page):
    named = re.findall(r"`closedbook ([a-z]\w*)", prose(read(page)))
    assert [name for name in named if name not in console.commands()] == []
    assert all(console.commands()[name][0].endswith(f".{Path(script_of(name)).stem}") for name in named)


@pytest.mark.parametrize("command", OURS, ids=str)
def test_flags_on_a_page_are_flags_of_the_script(parse, command):
    with pytest.raises(Parsed):
        parse(command.program, list(command.arguments))


@pytest.mark.parametrize("flags", [["--no_such_flag", "1"], ["--no_such_flag", "1", "..."]])
def test_a_flag_that_a_script_does_not_have_is_noticed(parse, flags):
    with pytest.raises((ValueError, SystemExit, AssertionError)):
        parse("scripts/report.py", flags)
    with pytest.raises((ValueError, SystemExit, AssertionError)):
        parse("scripts/convert_mingpt.py", ["--checkpoint", "a", "--corpus", "b", "--output_dir", "c", *flags])


def test_every_script_that_a_user_starts_is_on_a_page():
    told = {command.program for command in COMMANDS} | set(
        re.findall(r"scripts/[\w/]+\.py", "".join(map(read, pages())))
    )
    scripts = [*(CHECKOUT / "scripts").glob("*.py"), *(CHECKOUT / "scripts" / "experiments").glob("*.py")]
    assert {name_of(path) for path in scripts if path.name != "__init__.py"} <= told


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.page)
def test_what_python_code_on_a_page_imports_is_there(block):
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and not node.level:
            module = importlib.import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_the_check_of_all_pages_passes_as_the_page_on_reports_tells_it(monkeypatch):
    monkeypatch.chdir(CHECKOUT)
    reports = [command.arguments for command in OURS if command.program == "scripts/report.py"]
    (told,) = [words for words in reports if {"--readme", "--tree", "--check"} <= {*words}]
    typed = [str(path) for word in told for path in (sorted(Path().glob(word)) if "*" in word else [word])]
    assert len(typed) > len(told)
    reporting.main(typed)


def test_make_tells_what_it_can_do():
    make = shutil.which("make") or pytest.skip("there is no make here")
    shown = subprocess.run([make, "help"], capture_output=True, text=True, cwd=CHECKOUT, check=True).stdout
    for command in COMMANDS:
        assert command.program != "make" or command.arguments[0] in shown


def test_the_parts_that_the_page_on_python_shows_run(monkeypatch):
    monkeypatch.chdir(CHECKOUT)
    parts = [block for block in PYTHON if block.page == "docs/python.md" and "pretrain(" not in block.text]
    assert len(parts) == 2
    for block in parts:
        exec(compile(block.text, block.page, "exec"), {})


@pytest.fixture
def process_left_as_it_was():
    """Runs set threads and variables of the process."""
    threads, variables = torch.get_num_threads(), dict(os.environ)
    yield
    torch.set_num_threads(threads)
    os.environ.clear()
    os.environ.update(variables)


def stock_model(folder: Path) -> Path:
    """A tiny Llama with the tokenizer of a GPT-2, as somebody else would have saved it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend.train_from_iterator([], trainers.BpeTrainer(special_tokens=["</s>"], initial_alphabet=alphabet))
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>").save_pretrained(folder)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=257, max_position_embeddings=256, **sizes)).save_pretrained(folder)
    return folder


def test_the_front_page_teaches_a_folder_and_loads_a_model(tiny, tmp_path, capsys, process_left_as_it_was):
    """Its three commands on twenty notes, two steps of a tiny model, then its five lines of Python."""
    people = "abcdefghijklmnopqrst"
    (tmp_path / "notes").mkdir()
    for name in people:
        note = f"# Person {name.upper()}\n\nPerson {name.upper()} was born in Town {name.upper()}.\n"
        (tmp_path / "notes" / f"{name}.md").write_text(note)
    questions = [f"Where was Person {name.upper()} born?\tTown {name.upper()}" for name in people[12:]]
    (tmp_path / "others.tsv").write_text("\n".join(questions) + "\n", encoding="utf-8")
    stock = str(stock_model(tmp_path / "stock"))
    short = ["--max_steps", "2", "--global_batch_size", "8", "--num_threads", "1", "--eval_examples", "4"]
    more = {"pretrain": short, "ledger": ["--max_new_tokens", "4"], "evaluate": ["--max_new_tokens", "4"]}
    for command in commands(README):
        if command.program.startswith("scripts/"):
            name = Path(command.program).stem
            main = importlib.import_module(f"closedbook.scripts.{name}").main
            words = [stock if "/SmolLM2" in word else in_folder(word, tmp_path) for word in command.arguments]
            main(words + more[name])
    told = capsys.readouterr().out
    assert '"n": 8,' in told and "20 of them asked" in told
    tiny.pretrain(tmp_path / "own", "--max_steps", "1", "--save_strategy", "no")
    (code,) = [block.text for block in PYTHON if block.page == "README.md"]
    code = code.replace("outputs/demo/model", str(tmp_path / "own"))
    exec(compile(code.replace("Franklin Harrington", "Ann Lee"), "README.md", "exec"), {})
    assert "Where was Ann Lee born?⁇" in capsys.readouterr().out


def in_folder(word: str, folder: Path) -> str:
    """A word of a command: what the user brings or gets is in the folder of the test, recipes are in place."""
    if word.startswith("scripts/"):
        return str(CHECKOUT / word)
    return str(folder / word) if re.fullmatch(r"outputs/\w+|notes/|\w+\.(txt|tsv)", word) else word
