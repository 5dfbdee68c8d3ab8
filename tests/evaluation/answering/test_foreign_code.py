"""Code that a model brings along: nobody is asked on a terminal whether it may run, and unasked it never runs."""

import ast
import json
import os
import pty
import select
import time
from pathlib import Path

import pytest
import warm
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

from closedbook.evaluation.answering.stock_models import from_pretrained

ROOT = Path(__file__).parents[3]
LOADERS = """
import sys
sys.excepthook = lambda kind, error, trace: print(f"REFUSED {kind.__name__}: {error}")
from closedbook.evaluation.answering.stock_models import load_stock_model
from closedbook.evaluation.prompting.embedders import EncoderEmbedder
from closedbook.training import load_model_folder
for load in (load_model_folder, load_stock_model, EncoderEmbedder):
    try:
        load(sys.argv[1])
        print("LOADED")
    except ValueError as error:
        print(f"REFUSED {load.__name__}: {error}")
"""


@pytest.fixture
def foreign(tmp_path) -> Path:
    """A folder whose code leaves a file behind when it runs."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    classes = {"AutoConfig": "code.C", "AutoModel": "code.M", "AutoModelForCausalLM": "code.M"}
    config = {"model_type": "stranger", "auto_map": classes}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = {"auto_map": {"AutoTokenizer": ["code.T", None]}, "tokenizer_class": "T"}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("auto_class", [AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer])
def test_code_of_its_own_is_refused_in_one_line_with_the_remedy(foreign, tmp_path, auto_class):
    for trust in (False, None):  # None is what transformers takes for a question
        with pytest.raises(ValueError, match="brings code of its own.*Take another") as error:
            from_pretrained(auto_class, foreign, remedy="Take another", trust_remote_code=trust)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "ran").exists()


def test_on_a_terminal_nobody_is_asked(tiny, foreign, tmp_path):
    """With somebody at a terminal who would answer "y" to anything."""
    terminal, inside = pty.openpty()
    standard = (os.ttyname(inside),) * 3
    process = warm.Process(["-c", LOADERS, foreign], cwd=ROOT, env=tiny.environment(), standard=standard)
    os.write(terminal, b"y\ny\ny\ny\n")
    said, deadline = b"", time.monotonic() + 90
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                said += os.read(terminal, 4096)
            except OSError:  # the other side is closed
                break
        elif process.poll() is not None:
            break
    os.close(terminal)
    os.close(inside)
    assert process.wait(timeout=30) == 0, said
    text = said.decode()
    assert "[y/N]" not in text and not (tmp_path / "ran").exists(), text
    refusals = [line for line in text.splitlines() if line.startswith("REFUSED")]
    assert len(refusals) == 3 and "LOADED" not in text, text
    assert all("brings code of its own" in line and "--trust_remote_code" in line for line in refusals), refusals


def test_auto_classes_are_called_in_one_place():
    calls = []
    for room in ("data", "evaluation", "training", "scripts"):
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call):
                    continue
                name = ast.unparse(node.func)
                if name == "pipeline" or (name.startswith("Auto") and name.endswith(".from_pretrained")):
                    calls.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert calls == []
