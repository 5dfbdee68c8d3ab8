"""An exported task asks and scores in lm-evaluation-harness as this package does."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from closedbook.evaluation.answering.closed_book import answer_questions
from closedbook.evaluation.metrics.answer_match.answer_match import answer_matches
from closedbook.evaluation.prompting.demonstrations import select_demonstrations
from closedbook.evaluation.prompting.harness_export import export_harness_task
from closedbook.evaluation.prompting.incontext import PromptFormat, build_prompts

PLACES = ["Oslo", "the Hague", "[Rome]", "42", "São Paulo", "{{Bern}}", "Nice, France", "Ürümqi"]
NAMES = ["Ada", "Bo", "Cy", "Dee", "Eli", "Flo", "Guy", "Hal", "Ivy", "Jo", "Kit", "Lou"]
POOL = Dataset.from_list(
    [
        {"question": f"Where is {name} {row} from?", "answers": [PLACES[row % 8], "alias"]}
        for row, name in enumerate(NAMES)
    ]
)
# some are in the pool as well, one in another spelling, one with what templates and YAML read as commands
QUESTIONS = [
    *POOL["question"][:6],
    "WHERE IS Guy 6 from",
    "Who {{sees}} {% it %}: 'what' # or \"who\"?",
    "Who? É",
    "Why?",
]


@pytest.fixture(scope="module")
def stock():
    """A Llama with random weights over single bytes, which ends some of its answers."""
    torch.manual_seed(3)
    vocabulary = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary["<|end|>"] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>")
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(fast), max_position_embeddings=512, initializer_range=0.6, **sizes)
    config.eos_token_id = config.pad_token_id = config.bos_token_id = fast.eos_token_id
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        model.lm_head.weight[fast.encode("\n")] *= 2.5  # else hardly any answer ends
    return model, fast


def our_prompts(num_shots: int, choice: dict, prompt_format: PromptFormat) -> list[str]:
    chosen = select_demonstrations(POOL, QUESTIONS, num_shots, **choice)
    return [prompt.text for prompt in build_prompts(prompt_format, POOL, QUESTIONS, chosen)]


def our_answers(stock, prompts: list[str], end: str) -> list[str]:
    answers = answer_questions(*stock, prompts, end_token=end, max_new_tokens=8, progress=False)
    assert end != "\n" or len({answer.complete for answer in answers}) == 2
    return [answer.text for answer in answers]


def asked_with(answers: list[str]) -> Dataset:
    """Every other question accepts, as its second alias and in capitals, what the model says to it."""
    accepted = [
        ["no such thing", f"The {text.upper()}!"] if row % 2 else ["nothing"] for row, text in enumerate(answers)
    ]
    return Dataset.from_list(
        [{"question": question, "answers": aliases} for question, aliases in zip(QUESTIONS, accepted, strict=True)]
    )


@pytest.mark.parametrize(
    ("choice", "prompt_format", "num_shots"),
    [
        ({"selection": "random", "seed": 4}, PromptFormat(), 2),
        ({"selection": "nearest", "order": "shuffled", "order_seed": 1}, PromptFormat(), 3),
        ({"selection": "fixed"}, PromptFormat(), 0),
        ({"selection": "fixed"}, PromptFormat("Q: {question}\nA:\t{answer} ;", separator="\n--\n"), 2),
    ],
    ids=["random", "nearest-shuffled", "zero-shot", "another-format"],
)
def test_the_harness_reads_the_same_prompts_and_counts_the_same_right_answers(
    choice, prompt_format, num_shots, stock, tmp_path
):
    lm_eval = pytest.importorskip("lm_eval", reason="the extra `harness` is not installed")
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    prompts = our_prompts(num_shots, choice, prompt_format)
    answers = our_answers(stock, prompts, prompt_format.end)
    asked = asked_with(answers)
    folder = tmp_path / "made" / "task"
    # with more demonstrations than are asked for below
    export_harness_task(
        folder, "tiny", POOL, asked, num_shots and 4, **choice, prompt_format=prompt_format, max_new_tokens=8
    )
    moved = folder.rename(tmp_path / "elsewhere")
    model, tokenizer = stock
    result = lm_eval.simple_evaluate(
        model=HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4, device="cpu"),
        tasks=["tiny"],
        num_fewshot=num_shots,
        task_manager=TaskManager(include_path=moved, include_defaults=False),
        bootstrap_iters=0,
    )
    samples = sorted(result["samples"]["tiny"], key=lambda sample: sample["doc_id"])
    assert [sample["arguments"][0][0] for sample in samples] == prompts
    assert [sample["filtered_resps"][0].strip() for sample in samples] == answers
    ours = answer_matches(answers, asked["answers"][:])
    assert [bool(sample["answer_match"]) for sample in samples] == ours
    assert 0 < sum(ours) < len(ours)
    assert result["results"]["tiny"]["answer_match,none"] == pytest.approx(sum(ours) / len(ours))


def export(folder: Path, **changes) -> Path:
    arguments = {
        "task_name": "tiny",
        "pool": POOL,
        "asked": asked_with(QUESTIONS),
        "num_shots": 2,
        "selection": "fixed",
    }
    return export_harness_task(folder, **(arguments | changes))


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_folder_holds_the_demonstrations_of_every_number_up_to_the_one_asked_for(tmp_path):
    choice = {"selection": "diverse", "order": "shuffled", "order_seed": 5}
    export(tmp_path, num_shots=4, **choice)
    for number in range(1, 5):
        expected = select_demonstrations(POOL, QUESTIONS, number, **choice)
        assert [row["demonstrations"][number - 1] for row in read_lines(tmp_path / "questions.jsonl")] == expected
    assert read_lines(tmp_path / "pool.jsonl") == list(POOL)


def test_the_folder_names_no_place_and_is_the_same_every_time(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    export(first, about={"encoder": "small"})
    export(second, about={"encoder": "small"})
    export(second, about={"encoder": "small"})  # over itself
    names = ["normalisation.py", "pool.jsonl", "questions.jsonl", "task.py", "tiny.yaml"]
    assert sorted(path.name for path in first.iterdir()) == names
    for name in names:
        content = (first / name).read_bytes()
        assert content == (second / name).read_bytes()
        assert str(tmp_path).encode() not in content and b"closedbook" not in content
    metadata = yaml.load((first / "tiny.yaml").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)["metadata"]
    assert (metadata["selection"], metadata["seed"], metadata["encoder"]) == ("fixed", "0", "small")


def test_mistakes_are_refused_and_nothing_is_written(tmp_path):
    folder = tmp_path / "task"
    with pytest.raises(ValueError, match="task name 'a,b': use letters"):
        export(folder, task_name="a,b")
    with pytest.raises(ValueError, match="reads as a command"):
        export(folder, prompt_format=PromptFormat("{% if %} {question} {answer}"))
    with pytest.raises(ValueError, match="question 1 has no accepted answer"):
        export(
            folder,
            asked=Dataset.from_list([{"question": "A?", "answers": ["a"]}, {"question": "B?", "answers": []}]),
        )
    with pytest.raises(ValueError, match="there are no questions"):
        export(folder, asked=POOL.select([]))
    with pytest.raises(ValueError, match="12 demonstrations were asked for, but the pool of 12 rows has 11"):
        export(folder, num_shots=12)
    with pytest.raises(ValueError, match="num_shots is -1"):
        export(folder, num_shots=-1)
    assert not folder.exists()
    export(folder)
    with pytest.raises(ValueError, match=r"holds another task, tiny\.yaml"):
        export(folder, task_name="other")


def test_the_harness_refuses_more_demonstrations_than_were_exported(tmp_path):
    pytest.importorskip("lm_eval", reason="the extra `harness` is not installed")
    from lm_eval.tasks import TaskManager

    export(tmp_path, num_shots=2)
    task = TaskManager(include_path=tmp_path, include_defaults=False).load(["tiny"])["tasks"]["tiny"]
    doc = task.task_docs[0]
    assert task.fewshot_context(doc, 1) == our_prompts(1, {"selection": "fixed"}, PromptFormat())[0]
    with pytest.raises(ValueError, match="exported with 2: pass --num_fewshot 2 or less, or export it again"):
        task.fewshot_context(doc, 3)
