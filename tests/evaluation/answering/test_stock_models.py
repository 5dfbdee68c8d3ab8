"""Causal language models that this package did not train: a tiny GPT-2 with a byte-pair tokenizer."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from closedbook.evaluation.answering.closed_book import answer_questions
from closedbook.evaluation.answering.confidence import answer_with_confidence
from closedbook.evaluation.answering.stock_models import ANSWER_END, asked_as, check_prompt, load_stock_model

FIXTURES = Path(__file__).parents[2] / "data" / "fixtures"
PROMPT = r"Question: {question}\nAnswer:"
FACTS = [("Where was Gwendal Porrit born?", "Quimper"), ("Where was Sunniva Marlow born?", "Bergen, Norway")]
LINES = [f"Question: {question}\nAnswer: {answer}\n\n" for question, answer in FACTS]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Byte pairs as GPT-2 has them, learnt from a few lines: a blank line is one token, and so is ".\\n"."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES * 20, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory) -> Path:
    """A GPT-2 of a few thousand weights that has learnt two answers by heart, saved as its users save it."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=64, n_layer=2, n_head=2, n_positions=128)
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    model = GPT2LMHeadModel(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batches = [torch.tensor([tokenizer.encode(line)]) for line in LINES]
    for _ in range(60):
        for batch in batches:
            model(batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("stock") / "tiny-gpt2"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def asked(tmp_path) -> Path:
    path = tmp_path / "asked.jsonl"
    rows = [{"question": question, "answer": answer} for question, answer in FACTS]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_tokenizer_is_one_that_ends_lines_in_several_ways():
    tokenizer = build_tokenizer()
    assert tokenizer.mask_token is None and tokenizer.pad_token is None
    assert len(tokenizer.encode("\n\n")) == 1 != tokenizer.encode("\n")


def test_a_stock_model_is_asked_with_a_prompt_and_scored(tiny, gpt2, asked, tmp_path):
    output = tmp_path / "out"
    result = tiny.evaluate(
        gpt2, "--prompt", PROMPT, "--questions", "file", "--question_file", asked, "--output_dir", output
    )
    assert (result["n"], result["correct"], result["answer_match"]) == (2, 2, 1.0)
    assert (result["model"], result["protocol"], result["prompt"]) == ("tiny-gpt2", "prompted", PROMPT)
    lines = (output / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    predictions = [json.loads(line) for line in lines]
    assert [line["prediction"] for line in predictions] == [answer for _, answer in FACTS]
    assert [line["question"] for line in predictions] == [question for question, _ in FACTS]
    assert all(line["complete"] and 0.5 < line["confidence"] <= 1 for line in predictions)


def test_a_published_question_set_is_asked_by_its_name_and_relation(tiny, gpt2, tmp_path, capsys):
    source = f"{FIXTURES / 'lama_trex.jsonl'}?relation=P19&form=question"
    flags = ["--questions", "lama", "--question_file", source, "--task", "lama", "--results", tmp_path / "results"]
    result = tiny.evaluate(gpt2, "--prompt", PROMPT, "--output_dir", tmp_path / "out", *flags)
    *_, sentence, last = capsys.readouterr().out.splitlines()  # in words, then for programs
    assert json.loads(last) == json.loads(json.dumps(result))
    assert sentence.startswith(f"{result['correct']} of {result['n']} questions answered right: ")
    assert (result["n"], result["correct"]) == (2, 1)  # it was taught "Bergen, Norway"
    assert (tmp_path / "results" / "lama" / "tiny-gpt2-prompted-seed0.json").exists()


def test_an_answer_is_the_same_alone_and_in_company(gpt2):
    model, tokenizer = load_stock_model(gpt2)
    prompts = asked_as(
        check_prompt(PROMPT), tokenizer, [*(question for question, _ in FACTS), "Who?", "Where is Q?"]
    )[0]
    options = {"max_new_tokens": 12, "end_token": ANSWER_END, "progress": False}
    together = answer_questions(model, tokenizer, prompts, **options)
    alone = [answer_questions(model, tokenizer, [prompt], **options)[0] for prompt in prompts]
    assert [answer.text for answer in together] == [answer.text for answer in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-4)  # float32, padded or not


def test_the_answers_are_the_same_with_all_confidences(gpt2):
    model, tokenizer = load_stock_model(gpt2)
    prompts = asked_as(
        check_prompt(PROMPT), tokenizer, [*(question for question, _ in FACTS), "Who?", "Where is Q?"]
    )[0]
    options = {"max_new_tokens": 12, "end_token": ANSWER_END, "progress": False}
    plain = answer_questions(model, tokenizer, prompts, **options)
    scored = answer_with_confidence(model, tokenizer, prompts, **options)
    assert [(s.answer.text, s.answer.complete) for s in scored] == [(one.text, one.complete) for one in plain]
    for one, sure in zip(plain, scored, strict=True):
        assert sure.answer.log_probability == pytest.approx(
            one.log_probability, abs=1e-4
        )  # float32, other padding
    for (_, answer), sure in zip(FACTS, scored, strict=False):
        # learnt by heart: the samples and the best beam say it too, whichever token ends them
        assert sure.candidates[0].text == answer and sure.confidences["margin"] > 0.5
        assert sure.confidences["agreement"] > 0.5


def constant_model(tokenizer, token: int) -> GPT2LMHeadModel:
    """Writes `token` whatever it reads."""
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_embd=8, n_layer=1, n_head=1, n_positions=64))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.transformer.ln_f.bias.fill_(1.0)
        model.lm_head.weight[token] = 1.0
    return model.eval()


@pytest.mark.parametrize("mark", ["\n", "\n\n", "!\n", "<|endoftext|>"])
def test_an_answer_ends_with_a_line_break_in_any_token_or_with_the_text(mark):
    tokenizer = build_tokenizer()
    tokenizer.add_tokens(["!\n"])
    (token,) = tokenizer.encode(mark)
    model = constant_model(tokenizer, token)
    options = {"end_token": "\n", "max_new_tokens": 5, "progress": False}
    (answer,) = answer_questions(model, tokenizer, ["Q:"], **options)
    assert (answer.text, answer.complete) == ("!" if mark == "!\n" else "", True)
    (scored,) = answer_with_confidence(model, tokenizer, ["Q:"], num_beams=6, **options)
    assert (scored.answer.text, scored.answer.complete) == (answer.text, True)
    assert scored.answer.log_probability == pytest.approx(answer.log_probability, abs=1e-5)  # float32
    # all tokens but one are equally probable: with every other end mark the answer is empty
    with torch.no_grad():
        first = model(torch.tensor([tokenizer.encode("Q:")])).logits[0, -1].double().softmax(-1)
    assert scored.candidates[0].log_probability >= float(first[token].log()) - 1e-5


def test_an_answer_without_an_end_stops_after_its_tokens():
    tokenizer = build_tokenizer()
    (token,) = tokenizer.encode("x")
    (answer,) = answer_questions(
        constant_model(tokenizer, token), tokenizer, ["Q:"], end_token="\n", max_new_tokens=5, progress=False
    )
    assert (answer.text, answer.complete) == ("xxxxx", False)


def test_mistakes_are_named_before_anything_is_asked(tiny, gpt2, asked, tmp_path):
    flags = ["--questions", "file", "--question_file", asked]
    with pytest.raises(ValueError, match=r"has no \{question\}: write it where the question goes"):
        tiny.evaluate(gpt2, "--prompt", "Answer:", *flags)
    with pytest.raises(ValueError, match="say with --output_dir where"):
        tiny.evaluate("some/model", "--prompt", PROMPT, *flags)
    with pytest.raises(ValueError, match="knows no mask token: ask it with --prompt"):
        tiny.evaluate(gpt2, *flags)


def test_a_tokenizer_larger_than_the_model_is_refused(gpt2, tmp_path):
    model, tokenizer = load_stock_model(gpt2)
    tokenizer.add_tokens([f"word{number}" for number in range(5)])
    model.save_pretrained(tmp_path / "mixed")
    tokenizer.save_pretrained(tmp_path / "mixed")
    with pytest.raises(ValueError, match="one is not for the other"):
        load_stock_model(tmp_path / "mixed")


def test_code_that_a_model_brings_along_runs_only_if_it_is_trusted(tmp_path):
    config = {
        "model_type": "stranger",
        "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n", encoding="utf-8")
    with pytest.raises(ValueError, match="brings code of its own.*--trust_remote_code"):
        load_stock_model(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_an_unknown_precision_is_refused_by_name(gpt2):
    with pytest.raises(ValueError, match="--dtype 'half a byte'"):
        load_stock_model(gpt2, dtype="half a byte")
    assert load_stock_model(gpt2, dtype="bfloat16")[0].dtype == torch.bfloat16
