"""What arrives on the Hub is the finished folder: others load it; nothing private, half or pickled is in it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import Hub
from transformers import AutoModelForCausalLM

from closedbook.evaluation.run_record import read_run
from closedbook.training.bases.loading import load_model_folder
from closedbook.training.publishing import push
from closedbook.training.publishing.folder import finished_files, public_record

TOKEN = "hf_writeAbcdefghijklmnopqrstuvwxyz12"
CODE = {"modeling_gpt.py", "configuration_gpt.py", "tokenization_char.py", "attention.py", "loading.py"}
WHOLE = CODE | {"README.md", "run.json", "config.json", "generation_config.json", "model.safetensors"}
WHOLE |= {"tokenizer.json", "tokenizer_config.json"}
PUSHING = ["--push_to_hub", "--hub_model_id", "small-gpt"]
READER = """
import json, sys
from transformers import AutoModelForCausalLM, AutoTokenizer
assert not [name for name in sys.modules if name.startswith("closedbook")]
try:
    import closedbook
    sys.exit("the package is there")
except ModuleNotFoundError:
    pass
name, revision = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(name, revision=revision, trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=True)
prompt = tokenizer("Where was she born?\\u2047", return_tensors="pt")
output = model.generate(**prompt, max_new_tokens=8, do_sample=False)
print(json.dumps([output[0].tolist(), model.config.use_cache, type(tokenizer).__name__]))
"""


@pytest.fixture
def hub():
    server = Hub()
    yield server
    server.close()


@pytest.fixture
def at_hub(tiny, hub, tmp_path):
    """Run a command as a process that knows this Hub and one token, and no other configuration."""

    def run(*command, token: str | None = TOKEN, **variables) -> subprocess.CompletedProcess:
        leaked = {name for name in os.environ if name.startswith(("HF_", "HUGGING_FACE"))}
        environment = {name: value for name, value in tiny.environment().items() if name not in leaked}
        environment |= {"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        environment |= {"HF_HOME": str(tmp_path / "hf_home"), "HF_HUB_DISABLE_TELEMETRY": "1"} | variables
        if token is not None:
            environment["HF_TOKEN"] = token
        words = [sys.executable, *map(str, command)]
        return subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    return run


@pytest.fixture
def online(hub, monkeypatch, tmp_path):
    """This process knows this Hub and one token; a process of its own would cost the time of its imports."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)


@pytest.fixture
def push_while_training(online, tiny, tmp_path):
    """One tiny run into `tmp_path / "run"` that pushes."""
    return lambda *flags: tiny.pretrain(tmp_path / "run", *PUSHING, *flags)


def assert_others_load(at_hub, folder: Path, repo_id: str = "ada/small-gpt", revision: str = "main") -> None:
    """A process without the package answers as the model of the folder does."""
    done = at_hub("-I", "-c", WITHOUT_PACKAGE + READER, repo_id, revision)
    assert done.returncode == 0, done.stderr[-2000:]
    tokens, use_cache, tokenizer_class = json.loads(done.stdout.splitlines()[-1])
    model, tokenizer = load_model_folder(folder)
    prompt = tokenizer("Where was she born?\u2047", return_tensors="pt")
    assert tokens == model.generate(**prompt, max_new_tokens=8, do_sample=False)[0].tolist()
    assert use_cache is True and tokenizer_class == "CharTokenizer"


# an editable installation is found by a hook, which a reader elsewhere does not have
WITHOUT_PACKAGE = "import sys\nsys.meta_path = [f for f in sys.meta_path if 'editable' not in str(f).lower()]\n"


def assert_nothing_private(files: dict[str, bytes], *places: Path) -> None:
    for name, content in files.items():
        assert not name.endswith((".bin", ".pt", ".pth", ".pkl")), name
        for secret in (TOKEN, *map(str, places), str(Path.home()) + "/"):
            assert secret.encode() not in content, (name, secret)


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(["--hub_strategy", "end"], marks=pytest.mark.slow),
        ["--hub_strategy", "every_save", "--hub_always_push"],
    ],
)
def test_a_run_that_pushes_leaves_the_finished_model_for_others(
    hub, at_hub, push_while_training, monkeypatch, tmp_path, flags
):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(sys, "argv", ["scripts/pretrain.py", "--hub_token", TOKEN, f"--hub_tok={TOKEN}"])
    push_while_training("--hub_token", TOKEN, *flags)
    files = hub.files("ada/small-gpt")
    assert files.keys() >= WHOLE and not [name for name in files if "/" in name]
    assert_nothing_private(files, tmp_path)
    assert json.loads(files["run.json"])["eval_loss"] == read_run(tmp_path / "run").last.eval_loss
    assert files["README.md"] == (tmp_path / "run" / "README.md").read_bytes()
    commits = [request for request in hub.requests if "/commit/" in request]
    assert len(commits) == (1 if "end" in flags else 3)  # steps 4 and 8, and the end
    for _, whole in hub.repositories["ada/small-gpt"].branches["main"][1:]:  # no commit is a half
        assert whole.keys() >= WHOLE
        assert json.loads(whole["config.json"])["use_cache"] is True
    for path in (tmp_path / "run").rglob("*"):  # C10: nor does the token stay on this machine
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
    assert_others_load(at_hub, tmp_path / "run")


def test_a_branch_and_a_private_repository(hub, push_while_training):
    push_while_training("--hub_private_repo", "true", "--hub_revision", "trial", "--hub_strategy", "end")
    assert hub.repositories["ada/small-gpt"].private
    assert hub.files("ada/small-gpt") == {} and hub.files("ada/small-gpt", "trial").keys() >= WHOLE


def test_a_finished_folder_is_uploaded_afterwards(hub, online, pretrained):
    url = push.main(["--model", str(pretrained), "--hub_model_id", "later"])
    assert url.startswith(f"{hub.endpoint}/ada/later/commit/")
    assert hub.files("ada/later").keys() >= WHOLE
    assert_nothing_private(hub.files("ada/later"), pretrained.parent)


def test_a_public_repository_is_not_taken_for_a_private_one(hub, online, pretrained):
    push.main(["--model", str(pretrained), "--hub_model_id", "later"])
    with pytest.raises(ValueError, match="ada/later is public"):
        push.main(["--model", str(pretrained), "--hub_model_id", "later", "--hub_private_repo"])


@pytest.mark.parametrize("by", ["the libraries", pytest.param("this package", marks=pytest.mark.slow)])
def test_the_hand_made_way_of_the_page_arrives(hub, at_hub, tiny, pretrained, by):
    page = (tiny.checkout / "docs" / "sharing.md").read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "push" in block]
    assert len(blocks) == 2, "one call of this package, and the calls of the libraries"
    (block,) = [block for block in blocks if ("push_model_folder" in block) == (by == "this package")]
    code = block.replace("outputs/demo/model", str(pretrained)).replace("you/", "ada/")
    done = at_hub("-c", f"import sys\nsys.path.insert(0, {str(tiny.checkout)!r})\n{code}")
    assert done.returncode == 0, done.stderr[-2000:]
    files = hub.files("ada/small-gpt")
    assert files.keys() >= (WHOLE if by == "this package" else WHOLE - {"run.json"})
    assert files["README.md"] == (pretrained / "README.md").read_bytes()
    assert_nothing_private(files, pretrained.parent)
    assert_others_load(at_hub, pretrained)


REFUSALS = {
    "a token that only reads": ([], "hf_readAbcdefghijklmnopqrstuvwxyz12", "may write there"),
    "no token that anybody knows": ([], "nonsense", "hf auth login"),
    "somebody else's name": (["--hub_model_id", "bo/small-gpt"], TOKEN, "may write there"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_uploaded_is_said_before_training(push_while_training, monkeypatch, tmp_path, case):
    flags, token, told = REFUSALS[case]
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(ValueError, match=told) as error:
        push_while_training(*flags)
    assert token not in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_commit_that_fails_leaves_the_model_and_says_how_to_go_on(hub, push_while_training, tmp_path):
    hub.refuse_commits = True
    with pytest.raises(ValueError, match="storage limit reached.*scripts/push.py --model"):
        push_while_training("--hub_strategy", "every_save")
    AutoModelForCausalLM.from_pretrained(tmp_path / "run")
    assert read_run(tmp_path / "run").last.is_finished


CONTRADICTIONS = {
    "checkpoint": (["--push_to_hub", "--hub_strategy", "checkpoint"], "pickles"),
    "all_checkpoints": (["--push_to_hub", "--hub_strategy", "all_checkpoints"], "pickles"),
    "a URL": (["--push_to_hub", "--hub_model_id", "https://ada:secretword@hub.example/ada/x"], "owner/name"),
    "no network": (["--push_to_hub"], "HF_HUB_OFFLINE"),
    "a name without pushing": (["--hub_model_id", "ada/x"], "--hub_model_id has no effect without --push_to_hub"),
    "a token without pushing": (["--hub_token", TOKEN], "--hub_token has no effect without --push_to_hub"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_flags_that_contradict_each_other_are_refused_at_once(tiny, tmp_path, monkeypatch, case):
    flags, told = CONTRADICTIONS[case]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", case == "no network")
    with pytest.raises(ValueError, match=told) as error:
        tiny.pretrain(tmp_path / "run", *flags)
    assert "secretword" not in str(error.value) and TOKEN not in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def copied(pretrained, tmp_path) -> Path:
    return Path(shutil.copytree(pretrained, tmp_path / "copied", ignore=shutil.ignore_patterns("checkpoint-*")))


def forget_loss(folder: Path) -> None:
    record = json.loads((folder / "run.json").read_text())
    del record["eval_loss"]
    (folder / "run.json").write_text(json.dumps(record))


def add_line(name: str, line: str):
    return lambda folder: (folder / name).write_text((folder / name).read_text() + line)


def switch_off_cache(folder: Path) -> None:
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"use_cache": true', '"use_cache": false'))


UNFIT = {
    "a run that was stopped": (forget_loss, "not finished"),
    "no record": (lambda folder: (folder / "run.json").unlink(), "has no run.json"),
    "no card": (lambda folder: (folder / "README.md").unlink(), "README.md missing"),
    "no code": (
        lambda folder: (folder / "modeling_gpt.py").unlink(),
        "code of the model is missing: modeling_gpt.py",
    ),
    "no tokenizer code": (lambda folder: (folder / "tokenization_char.py").unlink(), "tokenization_char.py"),
    "code that other code needs": (lambda folder: (folder / "attention.py").unlink(), "missing: attention.py"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors cannot be read"),
    "half the weights": (lambda folder: os.truncate(folder / "model.safetensors", 900), "cannot be read"),
    "no cache": (switch_off_cache, "use_cache off"),
    "a token in the card": (add_line("README.md", f"\nlogin with {TOKEN}\n"), "README.md holds an access token"),
    "a password in a URL": (add_line("README.md", "\nhttps://ada:word@host.example/x\n"), "README.md holds"),
    "a folder of this machine": (add_line("README.md", f"\nin {Path.home()}/work\n"), "names .* of this machine"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_folder_that_others_could_not_use_or_should_not_see_is_refused(copied, case):
    assert finished_files(copied)
    spoil, told = UNFIT[case]
    spoil(copied)
    with pytest.raises(ValueError, match=told) as error:
        finished_files(copied)
    assert "\n" not in str(error.value) and TOKEN not in str(error.value)


def test_the_record_that_is_uploaded_names_no_folder_and_keeps_the_rest(tiny, files, pretrained, tmp_path):
    folder = tmp_path / "wiki_model"
    tiny.pretrain(folder, "--corpus", "wiki", "--corpus_path", files["wiki"], "--max_steps", "1")
    kept, told = json.loads((folder / "run.json").read_text()), json.loads(public_record(read_run(folder)))
    assert str(tmp_path) in json.dumps(kept) and str(tmp_path) not in json.dumps(told)
    assert told["arguments"].pop("corpus_path") == files["wiki"].name
    del kept["arguments"]["corpus_path"], kept["command"], told["command"]
    assert told == kept
