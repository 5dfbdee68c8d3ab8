"""The front page's table and findings say what the result files say, and leave nothing out silently."""

from pathlib import Path

import pytest

from closedbook.evaluation.files import write_json_atomic
from closedbook.evaluation.reports.generated.front_page import findings_block, front_table
from closedbook.evaluation.results import make_result

RECIPES = {
    "plain": "r/cs224n_vanilla_pretrain.yaml then r/cs224n_finetune.yaml",
    "places": "r/cs224n_company_pretrain.yaml then r/cs224n_places_finetune.yaml",
    "both": "r/cs224n_mixed_long.yaml then r/cs224n_places_finetune.yaml",
}
PUBLISHED = {
    "systems": [
        {"system": "vanilla", "parameters": 10, "runs": 8, "accuracy": [0.12, 0.27]},
        {"system": "nothing read", "parameters": 10, "runs": 1, "accuracy": [0.02, 0.02]},
        {"system": "rotary", "parameters": None, "runs": 1, "accuracy": [0.5, 0.5]},
    ],
    "ceiling": {"correct": 95, "n": 100, "meaning": "it is in the text"},
}


def result(model: str, protocol: str, recipe: str, correct: int, characters: int = 100) -> dict:
    return make_result(
        task="cs224n",
        split="dev",
        model=model,
        parameters=1000,
        protocol=protocol,
        recipe=recipe,
        seed=0,
        n=100,
        correct=correct,
        train_characters=characters,
        train_seconds=1,
    )


@pytest.fixture
def reference() -> list[dict]:
    return [
        result("always-London", "majority", "none", 5),
        result("vanilla", "two_stage", RECIPES["plain"], 30, 200),
        result("vanilla", "two_stage", RECIPES["places"], 80, 100),
        result("vanilla", "mixed", RECIPES["both"], 90),
        result("vanilla", "no_pretraining", "r/cs224n_no_pretraining.yaml", 2),
        result("vanilla", "two_stage", "r/another.yaml", 70),
    ]


def test_ours_and_the_published_stand_in_one_ascending_order(reference):
    lines = front_table(reference, PUBLISHED).splitlines()
    assert lines[0] == "| cs224n, dev (100 questions) | parameters | accuracy | 95% interval |"
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] == [
        'always "London"',
        "published: vanilla (8 runs)",
        "ours, the assignment's own corruption",
        "published: rotary (1 run)",
        "ours, places called up by name",
        "**ours, places and questions mixed**",
        "ceiling: it is in the text",
    ]
    assert [line.split(" | ")[2] for line in lines[2:]] == [
        *("5.0%", "12.0% to 27.0%", "30.0%", "50.0%", "80.0%", "**90.0%**", "95.0%"),
    ]
    assert lines[4].endswith("| 30.0% | 21.9% to 39.6% |")


def test_without_the_most_frequent_answer_there_is_no_bar_and_no_table(reference):
    with pytest.raises(ValueError, match="no result of the most frequent answer"):
        front_table(reference[1:], PUBLISHED)


def told(wordings: int, objectives: str, memorised: float, answered: float) -> dict:
    shares = {"memorised": {"accuracy": memorised}, "answered": {"accuracy": answered}}
    return {"wordings": wordings, "objectives": objectives} | shares


def taught(style: str, where: str, accuracy: float) -> dict:
    return {"style": style, "range": where, "accuracy": accuracy}


@pytest.fixture
def results(tmp_path) -> Path:
    asked = {"promised": [0.2, None], "coverage": 0.4, "error_rate": 0.25, "invented_answered": 0.03}
    asked_again = asked | {"coverage": 0.5, "error_rate": 0.15, "invented_answered": 0.01}
    arm = {"num_shots": 2, "selection": "random", "decoding": "greedy", "order": "near_last"}
    spread = {"lowest": 0.1, "highest": 0.3, "seeds": {"p_value": 0.0002}}
    other = spread | {"lowest": 0.2, "seeds": {"p_value": 0.138}}
    arms = [{"arm": arm, "spread": spread}, {"arm": arm | {"num_shots": 8}, "spread": other}]
    arms += [{"arm": arm | {"selection": "bm25", "num_shots": 9}, "spread": None}]
    shift = {"family": "shift", "num_mappings": 7}
    pooled = [
        shift | {"variant": "sure", "by_seed": {"held_out": [1.0, 1.0]}},
        shift | {"variant": "lucky", "by_seed": {"held_out": [1.0, 0.0]}},
        shift | {"variant": "fewer", "num_mappings": 2, "by_seed": {"held_out": [1.0]}},
    ]
    within = [taught("worked", "trained", 0.9), taught("direct", "trained", 0.4)]
    beyond = [taught("worked", "beyond", 0.2), taught("direct", "beyond", 0.1)]
    ratios = {"perceiver-spread": {"128": 2.5, "512": 1.5}, "linformer": {"128": 0.5, "2048": 4.0}}
    variants = {name: {"training": {"ratio": ratio}} for name, ratio in ratios.items()}
    files = {
        "knowing/summary": {"runs": {"one": asked, "other": asked_again}},
        "laboratory/wordings": {
            "settings": {"objectives": ["a"]},
            "rows": [
                *(told(1, "a", 0.9, 0.05), told(8, "a", 0.8, 0.7), told(16, "a", 0.6, 0.4)),
                *(told(1, "a+b", 0.91, 0.8), told(1, "a+c", 0.92, 0.3)),
            ],
        },
        "incontext/smollm2": {"num_questions": 50, "arms": arms},
        "laboratory/incontext": {"references": {"shift": {"num_mappings": 7}}, "pooled": pooled},
        "laboratory/reasoning": {"ranges": within + beyond},
        "benchmarks/architectures-cpu": {"summary": {"variants": variants}},
        "attention/constructions": {"errors": [{"error": error, "tolerance": 2.0} for error in (1.0, 3.0)]},
    }
    for name, content in files.items():
        write_json_atomic(tmp_path / f"{name}.json", content)
    return tmp_path


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("reference-task", "30% with gaps anywhere, 80% with places asked for by name, on 50% of the characters"),
        ("knowing", "at most 20% wrong, it answers 45% of the questions, 20% of these wrongly, and 2% of those"),
        ("laboratory", "one wording 90% of the facts are memorised and 5% answered; in 8 wordings 70%"),
        ("laboratory", "in one with `b` 80% |"),
        (
            "prompting",
            "50 questions, other demonstrations: 10% to 30% (were it chance, p < 0.001) with 2 shots",
        ),
        ("prompting", "20% to 30% (were it chance, p = 0.14) with 8 |"),
        ("prompting", "1 of 2 in every seed: sure |"),
        ("reasoning", "trained lengths 90% against 40%, beyond them 20% against 10%"),
        ("architectures", "trains 1.5 to 2.5 times as fast as vanilla, Linformer 4.0 times at 2,048 tokens"),
        ("attention", "1 of 2 measurements within the tolerance"),
    ],
)
def test_a_finding_is_told_with_its_numbers_and_its_page(results, reference, page, words):
    (line,) = [line for line in findings_block(results, reference).splitlines() if words in line]
    assert line.endswith(f"| [{page}](docs/{page}.md) |")


def test_a_finding_without_its_file_says_which(results, reference):
    (results / "laboratory" / "wordings.json").unlink()
    with pytest.raises(ValueError, match=r"wordings\.json does not exist"):
        findings_block(results, reference)
