"""Law 6: a saved model is the loaded one, with the package or without it."""

import json
import os
from pathlib import Path

import pytest
import torch
import warm
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from closedbook.modeling.tokenization_char import CharTokenizer, build_char_tokenizer

CORPUS = ["Where was Zoë born?", "Orléans", "a\nb"]  # 18 characters: as many as the models under test know
PROMPT = "Was Zoë born"

# What a reader does, in a process of its own: folder to read, folder to write, "absent" or "installed".
READER = """
import json, sys
from pathlib import Path
source, target, package = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
if package == "absent":
    sys.modules["closedbook"] = None  # any import of the package now fails
else:
    import closedbook.modeling
import torch
import warm
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

trust = {"trust_remote_code": True} if package == "absent" else {}
report = {}
for name in sorted(path.name for path in source.iterdir()):
    folder, saved = source / name / "model", target / name / "model"
    config = AutoConfig.from_pretrained(folder, **trust)
    tokenizer = AutoTokenizer.from_pretrained(folder, **trust)
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, **trust)
    inputs = tokenizer("Was Zoë born", return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        logits = model(**inputs).logits
    text = tokenizer.decode(model.generate(**inputs, max_new_tokens=10, do_sample=False)[0])
    report[name] = {
        "model_type": config.model_type,
        "classes": [type(model).__name__, type(tokenizer).__name__],
        "local": type(model).__module__.startswith("closedbook."),
        "incomplete": {key: sorted(map(str, value)) for key, value in info.items() if value},
        "text": text,
    }
    saved.mkdir(parents=True)
    model.save_pretrained(saved)
    tokenizer.save_pretrained(saved)
    tensors = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    save_file({**tensors, "logits": logits}, target / f"{name}.safetensors")
    try:
        base = AutoModel.from_pretrained(folder, **trust)
        with torch.no_grad():
            hidden = base(**inputs).last_hidden_state
            report[name]["base"] = (model.lm_head(hidden) - logits).abs().max().item()
    except Exception as error:
        report[name]["base"] = repr(error)
    try:
        tokenizer("Ω")
    except Exception as error:
        report[name]["unknown"] = str(error)
    if package == "absent":
        plain = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        report[name]["plain"] = [type(plain).__name__, plain("Was Zoë born")["input_ids"]]
assert (package == "absent") == (not any(name.startswith("closedbook.") for name in sys.modules))
(target / "report.json").write_text(json.dumps(report))
"""


def read_elsewhere(source: Path, target: Path, package: str, scratch: Path) -> dict:
    """Run the reader in a fresh process; its report, with the tensors it saw."""
    target.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(scratch / "modules"), "OMP_NUM_THREADS": "1"}
    done = warm.run(["-c", READER, source, target, package], cwd=scratch, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads((target / "report.json").read_text())
    (target / "report.json").unlink()
    for name, entry in report.items():
        entry["tensors"] = load_file(target / f"{name}.safetensors")
        (target / f"{name}.safetensors").unlink()
    return report


@pytest.fixture(scope="module")
def tokenizer() -> CharTokenizer:
    return build_char_tokenizer(CORPUS)


@pytest.fixture(scope="module")
def saved(variants, tokenizer, tmp_path_factory) -> Path:
    """A folder with a checkpoint of every variant.

    Each is called `model`: the library imports code that travels once for each name of a folder and content.
    """
    folder = tmp_path_factory.mktemp("saved")
    for variant in variants:
        variant.model().save_pretrained(folder / variant.name / "model")
        tokenizer.save_pretrained(folder / variant.name / "model")
    return folder


@pytest.fixture(scope="module")
def readers(saved, tmp_path_factory) -> dict[str, dict]:
    """Three readers: with the package, without it, and without it from what the second one saved."""
    folder = tmp_path_factory.mktemp("read")
    return {
        "installed": read_elsewhere(saved, folder / "installed", "installed", folder),
        "absent": read_elsewhere(saved, folder / "absent", "absent", folder),
        "saved-again": read_elsewhere(folder / "absent", folder / "again", "absent", folder),
    }


@pytest.fixture(scope="module")
def said_here(tokenizer):
    """Of a variant, the logits and the text of its model before it was saved: once for all readers."""
    found = {}

    def said(variant) -> tuple[torch.Tensor, str]:
        if variant.name not in found:
            model = variant.model()
            inputs = tokenizer(PROMPT, return_tensors="pt", return_token_type_ids=False)
            with torch.no_grad():
                logits = model(**inputs).logits
            text = tokenizer.decode(model.generate(**inputs, max_new_tokens=10, do_sample=False)[0])
            found[variant.name] = logits, text
        return found[variant.name]

    return said


READERS = pytest.mark.parametrize("reader", ["installed", "absent", "saved-again"])


@READERS
def test_every_tensor_is_bit_equal_in_another_process(variant, readers, reader):
    entry = readers[reader][variant.name]
    assert entry["local"] == (reader == "installed")
    assert entry["incomplete"] == {}
    expected = variant.model().state_dict()
    loaded = {name: tensor for name, tensor in entry["tensors"].items() if name != "logits"}
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in expected.items())


@READERS
def test_logits_and_generated_text_are_the_same_in_another_process(variant, readers, reader, said_here):
    entry, expected = readers[reader][variant.name], said_here(variant)
    assert entry["model_type"] == variant.config().model_type
    assert entry["classes"][0] == variant.model_class.__name__
    torch.testing.assert_close(entry["tensors"]["logits"], expected[0], atol=1e-5, rtol=0)
    assert entry["text"] == expected[1]


@READERS
def test_the_stack_without_its_head_loads_by_itself(variant, readers, reader):
    difference = readers[reader][variant.name]["base"]
    assert isinstance(difference, float), difference
    assert difference < 1e-5


@READERS
def test_an_unknown_character_is_an_error_in_another_process_too(variant, readers, reader):
    entry = readers[reader][variant.name]
    assert "unknown" in entry
    if entry["classes"][1] == "CharTokenizer":
        assert "U+03A9" in entry["unknown"]


@pytest.mark.parametrize("reader", ["absent", "saved-again"])
def test_trusted_code_brings_the_tokenizer_class(readers, reader):
    assert {entry["classes"][1] for entry in readers[reader].values()} == {"CharTokenizer"}


def test_the_tokenizer_files_serve_readers_who_trust_no_code(readers, tokenizer):
    for reader in ("absent", "saved-again"):
        for entry in readers[reader].values():
            class_name, ids = entry["plain"]
            assert class_name != "CharTokenizer"
            assert ids == tokenizer(PROMPT)["input_ids"]


def test_only_flat_code_files_travel_with_a_checkpoint(saved, variant):
    folder = saved / variant.name / "model"
    names = {path.name for path in folder.iterdir()}
    own = {path.name for path in (Path(__file__).parents[2] / "modeling").glob("*.py")} - {"__init__.py"}
    assert {name for name in names if name.endswith(".py")} == own
    assert not [path for path in folder.iterdir() if path.is_dir()]


def test_tied_weights_stay_tied(variant, tmp_path):
    model = variant.model(tie_word_embeddings=True)
    assert model.lm_head.weight is model.get_input_embeddings().weight
    untied = variant.model()
    assert untied.num_parameters() - model.num_parameters() == variant.vocabulary * 32
    model.save_pretrained(tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    loaded, info = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    assert loaded.lm_head.weight is loaded.get_input_embeddings().weight
    tokens = variant.tokens(2, 9)
    with torch.no_grad():
        assert torch.equal(loaded(tokens).logits, model(tokens).logits)


def test_a_model_in_half_precision_comes_back_in_half_precision(variant, tmp_path):
    model = variant.model().to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert loaded.dtype == torch.bfloat16
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), model.parameters(), strict=True))


def test_a_truncated_weight_file_is_an_error(variant, tmp_path):
    variant.model().save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    for kept in (0, 100, -10):
        weights.write_bytes(whole[:kept])
        with pytest.raises(Exception, match="deserializing header"):
            AutoModelForCausalLM.from_pretrained(tmp_path)


def test_a_missing_weight_file_is_an_error(variant, tmp_path):
    variant.model().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
        AutoModelForCausalLM.from_pretrained(tmp_path)


@pytest.mark.xfail(
    strict=True,
    reason="AutoTokenizer follows tokenizer_class of tokenizer_config.json, which names the plain fallback, "
    "before the class that the package registers",
)
def test_auto_tokenizer_gives_the_registered_class_where_the_package_is_imported(saved):
    assert type(AutoTokenizer.from_pretrained(saved / "vanilla" / "model")) is CharTokenizer


def test_the_tokenizer_class_reads_its_own_files(saved, variant):
    loaded = CharTokenizer.from_pretrained(saved / variant.name / "model")
    with pytest.raises(ValueError, match=r"U\+03A9"):
        loaded("\u03a9")
