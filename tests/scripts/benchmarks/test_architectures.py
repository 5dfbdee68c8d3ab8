"""The benchmark of architectures measures what it says, goes on where it was stopped, and adds up rightly."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from closedbook.scripts.benchmarks import architecture_entry, architecture_table, architectures
from closedbook.scripts.benchmarks.architecture_entry import (
    Training,
    decode,
    if_it_fits,
    measure_cache,
    measure_entry,
)
from closedbook.scripts.benchmarks.architecture_variants import VARIANTS, build_model
from closedbook.scripts.benchmarks.measure import alternate, peak_memory_mib, reset_peak_memory

LENGTH = 64
FLAGS = [
    *("--lengths", str(LENGTH), "--tokens", "128", "--decoding_rows", "2", "--repeats", "1", "--seconds", "1"),
    *("--num_threads", "1"),
]


@pytest.fixture(autouse=True)
def leave_process_as_it_was():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def arguments():
    return architectures.ArchitectureBenchmarkArguments(
        tokens=128, decoding_rows=2, repeats=1, seconds=1.0, num_threads=1
    )


@pytest.fixture
def processes(monkeypatch):
    """Instead of processes: an entry that holds the number of the call, and what was asked for."""
    asked = []

    def called(script, flags):
        def last(flag):
            return flags[len(flags) - flags[::-1].index(flag)]

        asked.append((last("--variants"), int(last("--lengths"))))
        assert last("--only") == "True"
        return {"config": {}, "training": {"implementations": {}}, "call": len(asked)}

    monkeypatch.setattr(architectures, "in_fresh_process", called)
    return asked


@pytest.mark.slow
def test_the_benchmark_ends_with_one_json_object_and_writes_it_too(capsys, tmp_path):
    output = tmp_path / "new" / "speed.json"
    returned = architectures.main([*FLAGS, "--variants", "vanilla", "linformer", "--output", str(output)])
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed == returned == json.loads(output.read_text(encoding="utf-8"))
    assert printed.keys() >= {"settings", "summary", "hardware", "versions", "commit", "command"}
    assert printed["settings"]["num_threads"] == 1
    assert list(printed["entries"]) == ["vanilla", "linformer"]
    entry = printed["entries"]["linformer"]["64"]
    assert entry["config"] == {"attention": "linformer", "attention_block_size": 16, "num_landmarks": 32}
    assert (entry["training"]["rows"], entry["training"]["predicted_tokens_of_a_row"]) == (2, 63)
    for one in entry["training"]["implementations"].values():
        assert min(one["tokens_per_second"], one["ratio"], one["peak_memory_mib"]) > 0
    assert min(entry["decoding"]["tokens_per_second"], entry["decoding"]["prompt_seconds"]) > 0
    assert entry["cache"]["constant"]
    ratios = printed["summary"]["variants"]["linformer"]["training"]["ratio"]
    best = max(one["ratio"] for one in entry["training"]["implementations"].values())
    own = [one["ratio"] for one in printed["entries"]["vanilla"]["64"]["training"]["implementations"].values()]
    assert ratios["64"] == pytest.approx(best / max(own))
    assert "| linformer |" in architecture_table.main(["--results", str(output)])


def test_a_stopped_run_goes_on_with_what_is_missing(processes, tmp_path):
    output = tmp_path / "speed.json"
    flags = [*FLAGS, "--output", str(output), "--variants", "vanilla"]
    first = architectures.main([*flags])
    again = architectures.main([*flags, "bigbird"])
    assert processes == [("vanilla", 64), ("bigbird", 64)]
    assert again["entries"]["vanilla"] == first["entries"]["vanilla"]
    architectures.main([*flags, "--overwrite"])
    assert processes[2:] == [("vanilla", 64)]
    assert json.loads(output.read_text(encoding="utf-8"))["entries"]["vanilla"]["64"]["call"] == 3


def test_a_process_that_died_is_noted_and_tried_again(processes, monkeypatch, tmp_path):
    flags = [*FLAGS, "--output", str(tmp_path / "speed.json"), "--variants", "vanilla", "gpt2"]
    alive = architectures.in_fresh_process

    def dies(script, flags):
        if "gpt2" in flags[-6:]:
            raise RuntimeError("ended with exit code -9")
        return alive(script, flags)

    monkeypatch.setattr(architectures, "in_fresh_process", dies)
    assert architectures.main(flags)["entries"]["gpt2"]["64"]["failed"] == "ended with exit code -9"
    monkeypatch.setattr(architectures, "in_fresh_process", alive)
    assert "failed" not in architectures.main(flags)["entries"]["gpt2"]["64"]
    assert processes == [("vanilla", 64), ("gpt2", 64)]


def test_entries_measured_otherwise_are_not_mixed(processes, tmp_path):
    flags = [*FLAGS, "--variants", "vanilla", "--output", str(tmp_path / "speed.json")]
    architectures.main(flags)
    with pytest.raises(ValueError, match="is of runs with another settings.tokens, .*use another folder"):
        architectures.main([*flags, "--tokens", "256"])


@pytest.mark.parametrize(
    "flags, told",
    [
        pytest.param(["--variants", "reformer"], "no reformer; choose from vanilla, gpt2", id="variant"),
        pytest.param(["--lengths", "100"], "multiples of 64, so that blocks are whole; got 100", id="length"),
        pytest.param(["--repeats", "0"], "--repeats must be at least 1, got 0", id="repeats"),
    ],
)
def test_flags_without_sense_are_refused(flags, told, tmp_path):
    output = tmp_path / "speed.json"
    with pytest.raises(ValueError, match=told):
        architectures.main([*flags, "--output", str(output)])
    assert not output.exists()


@pytest.mark.parametrize("length", [64, 128, 512])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_architecture_has_a_model_at_every_length(name, length):
    config = build_model(name, length).config
    assert config.max_position_embeddings == length
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (256, 4, 8)


def test_vanilla_and_its_peer_have_the_same_number_of_parameters():
    sizes = {name: build_model(name, 128).num_parameters() for name in ("vanilla", "gpt2", "gpt2-gelu-new")}
    assert set(sizes.values()) == {3_323_392}


def test_training_on_the_end_alone_gives_the_loss_of_the_end():
    training = Training("perceiver-last-end-only", 128, 128)
    kept = training.model.config.num_latents
    before = {name: one.clone() for name, one in training.model.state_dict().items()}
    losses = []
    backward = torch.Tensor.backward
    training.bf16 = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "backward", lambda loss: (losses.append(loss.item()), backward(loss)))
        training.step()
    assert not torch.equal(training.model.lm_head.weight, before["lm_head.weight"])
    training.model.load_state_dict(before)
    labels = training.ids.clone()
    labels[:, : -kept + 1] = -100  # of the kept positions the last one has no next token
    whole = training.model(input_ids=training.ids, labels=labels, use_cache=False).loss
    assert losses == [pytest.approx(whole.item(), rel=1e-5)]


def test_decoding_gives_as_many_tokens_as_are_counted():
    model = build_model("vanilla", 64).eval()
    speed, seconds = decode(model, torch.zeros(2, 8, dtype=torch.long), 5)
    assert min(speed, seconds) > 0


@pytest.mark.parametrize(
    "name, bytes_per_further_token",
    [("vanilla", 8192), ("gpt2", 8192), ("linformer", 0), ("synthesizer-random", 4 * (1024 + 4))],
)
def test_the_cache_holds_what_its_architecture_says(name, bytes_per_further_token):
    """4 layers of keys and values of 256 float32 numbers each; values and one number; a state."""
    cache = measure_cache(name, 128)
    assert cache["bytes_per_further_token"] == bytes_per_further_token
    assert cache["bytes_per_row"] == cache["bytes_per_token"] * 64


def test_what_does_not_fit_is_told_and_other_errors_are_not_hidden(arguments, monkeypatch):
    def fails(message):
        raise RuntimeError(message)

    assert if_it_fits(lambda: fails("DefaultCPUAllocator: can't allocate memory: you tried")) == {
        "out_of_memory": True
    }
    with pytest.raises(RuntimeError, match="shape"):
        if_it_fits(lambda: fails("shape mismatch"))
    step = Training.step

    def large_when_eager(training):
        if training.model.config._attn_implementation == "eager":
            fails("out of memory")
        step(training)

    monkeypatch.setattr(Training, "step", large_when_eager)
    entry = measure_entry(arguments, "vanilla", LENGTH)
    assert entry["training"]["implementations"]["eager"] == {"out_of_memory": True}
    assert entry["training"]["implementations"]["sdpa"]["ratio"] == 1


def test_an_architecture_wins_from_the_length_after_which_it_never_loses():
    def entry(ratio, eager=None):
        implementations = {"sdpa": {"tokens_per_second": 10 * ratio, "repeats": [10 * ratio], "ratio": ratio}}
        if eager:
            implementations["eager"] = {"tokens_per_second": 10 * eager, "repeats": [1], "ratio": eager}
        return {"training": {"implementations": implementations}, "decoding": {}}

    entries = {
        "vanilla": {"128": entry(1.0, eager=1.5), "512": entry(1.0), "2048": entry(1.0)},
        "gpt2": {"128": entry(0.8)},
        "linformer": {"128": entry(1.2), "512": entry(1.1), "2048": entry(3.0)},
        "bigbird": {"128": entry(1.6), "512": entry(0.9), "2048": {"training": {"out_of_memory": True}}},
    }
    summary = architecture_table.summarise(entries)
    linformer = summary["variants"]["linformer"]["training"]
    assert linformer == {"ratio": {"128": pytest.approx(0.8), "512": 1.1, "2048": 3.0}, "wins_from": 512}
    assert summary["variants"]["bigbird"]["training"]["wins_from"] is None
    assert summary["vanilla_against_peer_sdpa"]["gpt2"]["training"] == {"128": 1.25}
    text = architecture_table.tables({"entries": entries, "summary": summary})
    assert "| bigbird | 16 (1.07) | 9 (0.90) | no memory | - |" in text
    assert "15 (1.00), eager" in text


def test_the_picture_is_drawn(tmp_path, processes):
    output, picture = tmp_path / "speed.json", tmp_path / "speed.png"
    architectures.main([*FLAGS, "--variants", "vanilla", "--output", str(output)])
    architecture_table.main(["--results", str(output), "--picture", str(picture)])
    assert picture.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*architectures.py writes it"):
        architecture_table.main(["--results", str(tmp_path / "none.json")])


def test_turns_end_when_the_time_is_over_but_not_before_each_side_had_one():
    taken = alternate({"a": lambda: 1.0, "b": lambda: 2.0}, repeats=3, seconds=-1)
    assert taken == {"a": [1.0], "b": [2.0]}


def test_the_peak_of_memory_can_begin_anew():
    if not Path("/proc/self/clear_refs").exists() and not torch.cuda.is_available():
        pytest.skip("this system does not let a process do that")
    device = architecture_entry.device()
    large = torch.ones(2**26, device=device)  # 256 MiB
    peak = peak_memory_mib()
    del large
    reset_peak_memory()
    assert peak_memory_mib() < peak - 200


def test_no_file_of_the_benchmark_hides_a_library_of_its_name():
    for path in Path(architectures.__file__).parent.glob("architecture*.py"):
        assert importlib.util.find_spec(path.stem) is None, path.name
