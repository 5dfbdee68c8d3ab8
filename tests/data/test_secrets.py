"""What is withheld from files: by flag, by form, by value; and what is left as it is."""

import json
import pickle
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.data import secrets
from closedbook.data.secrets import is_secret_name, remember_secret, withhold, withhold_all, withhold_words
from closedbook.evaluation.reports.card.text import public_command
from closedbook.evaluation.run_record import Run, Stage, write_run
from closedbook.training.arguments import ClosedbookTrainingArguments

SECRETS = [
    ["--hub_token", "short"],
    ["--hub-token", "short"],
    ["--hub_token=short"],
    ["--push_to_hub_token", "short"],
    ["--wandb_api_key", "short"],
    ["--client-secret", "short"],
    ["--db_password=short"],
    ["--HFTOKEN", "short"],
    ["WANDB_API_KEY=short"],
    ["--env", "HF_TOKEN=short"],
    ["--corpus_path", "https://ada:short@host.example/wiki.txt"],
    ["--corpus_path", "https://short@host.example/wiki.txt"],
    ["--corpus_path", "https://host.example/wiki.txt?X-Amz-Signature=short&X-Amz-Date=1"],
    ["--corpus_path", "https://host.example/wiki.txt?sv=1&sig=short"],
    ["--run_name", "hf_shortAbcdefghijklmnopqrstuv"],
    ["--run_name", "ghp_shortAbcdefghijklmnopqrstuvwxyz"],
    ["--trainer_kwargs", '{"api_key": "short", "rate": 1}'],
]
INNOCENT = [
    ["--max_new_tokens", "32"],
    ["--tokens_per_batch=8192"],
    ["--average_tokens_across_devices", "true"],
    ["--corpus_path", "https://host.example/wiki.txt?split=train&page=2"],
    ["--objectives", "span_corruption=3", "left_to_right=1@0.7"],
    ["--prompt", "Q: {question} A:"],
    ["--hub_model_id", "ada/secret-garden"],
    ["--monkey", "banana"],
]


@pytest.mark.parametrize("words", SECRETS, ids=" ".join)
def test_a_secret_leaves_no_trace_in_a_command(words):
    told = withhold_words(["python", "scripts/pretrain.py", *words, "--seed", "3"])
    assert "short" not in " ".join(told) and told[-2:] == ["--seed", "3"]
    assert len(told) == len(words) + 4
    assert "short" not in public_command(shlex.join(["python", "x.py", *words]), set())


@pytest.mark.parametrize("words", INNOCENT, ids=" ".join)
def test_what_is_no_secret_stays(words):
    assert withhold_words(words) == words
    assert withhold_all({"arguments": words, "mask_token": "⁇"}) == {"arguments": words, "mask_token": "⁇"}


def test_known_values_are_withheld_wherever_they_stand(monkeypatch):
    monkeypatch.setattr(secrets, "_remembered", set())
    monkeypatch.setenv("MY_SERVICE_PASSWORD", "correct horse battery")
    remember_secret("open sesame please")
    remember_secret("x")  # would be everywhere
    told = withhold_all({"a": ["xx open sesame please", "correct horse battery staple"], "hub_token": "x"})
    assert told == {"a": ["xx ...", "... staple"], "hub_token": "..."}


@given(st.text(alphabet="abcdefgh 0123456789_./-=:?&", max_size=60))
def test_withholding_twice_is_withholding_once(text):
    assert withhold(withhold(text)) == withhold(text)


def test_names():
    assert is_secret_name("hub_token") and is_secret_name("--key") and is_secret_name("AWS_SECRET_ACCESS_KEY")
    assert not any(map(is_secret_name, ["pad_token", "max_new_tokens", "keys", "secretary", "keyword"]))


def test_the_record_of_a_run_holds_no_secret(tmp_path):
    path = "https://ada:short@host.example/wiki.txt"
    stage = Stage(stage="pretrain", arguments={"corpus_path": path, "depth": {"token": "short"}}, command="x")
    write_run(tmp_path, Run((stage,)))
    written = (tmp_path / "run.json").read_text()
    assert "short" not in written
    assert json.loads(written)["arguments"]["corpus_path"] == "https://...@host.example/wiki.txt"


def test_arguments_are_pickled_and_printed_without_the_token(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    args = ClosedbookTrainingArguments(output_dir=str(tmp_path), push_to_hub=True, hub_token="shibboleth")
    assert args.hub_token == "shibboleth"  # the run itself needs it
    assert b"shibboleth" not in pickle.dumps(args)
    assert pickle.loads(pickle.dumps(args)).learning_rate == args.learning_rate
    assert "shibboleth" not in args.to_json_string() + repr(args)
