"""Questions typed in a terminal, given by a flag or read from a file, and what is refused before that."""

import csv
import json
import socket

import pytest
from transformers import GPT2Config, GPT2LMHeadModel

from closedbook.evaluation.answering.confidence import answer_with_confidence
from closedbook.evaluation.files import write_json_atomic
from closedbook.evaluation.knowing.familiarity import FamiliarityScale, subject_features
from closedbook.modeling.tokenization_char import build_char_tokenizer
from closedbook.training.bases.loading import load_model_folder
from closedbook.training.page import terminal
from closedbook.training.page.arguments import read_question_texts
from closedbook.training.page.reply_html import reply_html
from closedbook.training.page.replying import DONT_KNOW, Asker, Promise, promise_record, read_promise

QUESTION = "Where was Ada born?"


@pytest.fixture
def asker(pretrained):
    documents = [{"title": "Ada", "text": "Ada was born in Oslo."}]
    return lambda threshold=0.0: Asker(str(pretrained), Promise(threshold=threshold), documents)


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stock")
    tokenizer = build_char_tokenizer(["".join(map(chr, range(32, 127))) + "\n"])
    tokenizer.save_pretrained(folder)
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=256, n_embd=16, n_layer=1, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def test_a_reply_is_what_the_package_answers_with_its_confidence(asker, pretrained):
    reply = asker().reply(f"  {QUESTION} ")
    model, tokenizer = load_model_folder(pretrained)
    (expected,) = answer_with_confidence(model, tokenizer, [QUESTION], num_samples=1, progress=False)
    assert (reply.answer, reply.confidence) == (expected.answer.text, expected.confidences["sequence_probability"])
    assert [text for text, _ in reply.candidates] == [candidate.text for candidate in expected.candidates]
    product = 1.0
    for _, probability in reply.tokens:
        product *= probability
    assert product == pytest.approx(reply.confidence, rel=1e-4)  # the answer and its end
    assert "".join(text for text, _ in reply.reads) == QUESTION + tokenizer.mask_token
    assert sum(weight for _, weight in reply.reads) == pytest.approx(1, abs=1e-4)


def test_batches_give_the_same_replies_as_single_questions(asker):
    ask = asker(0.5)
    questions = [QUESTION, "", "Where was Bo Marsh born?"]
    for one, many in zip(map(ask.reply, questions), ask.replies(questions), strict=True):
        assert (one.shown, one.answer, one.given, one.origin) == (many.shown, many.answer, many.given, many.origin)
        assert one.confidence == pytest.approx(many.confidence, rel=1e-5)


def test_a_promise_that_counts_on_familiarity_measures_it(pretrained, promised_record, tmp_path):
    record = promised_record(0.3, weights=[2.0, 1.0], bias=4.0)
    write_json_atomic(tmp_path / "knowing" / "knowing.json", record)
    promise = read_promise(str(tmp_path))
    assert read_promise_again(promise, tmp_path / "again") == promise
    asker = Asker(str(pretrained), promise)
    reply, many = asker.reply(QUESTION), asker.replies(["", QUESTION])[1]
    model, tokenizer = load_model_folder(pretrained)
    (expected,) = promise.familiarity.apply(subject_features(model, tokenizer, ["Ada"], end=tokenizer.mask_token))
    plain = Asker(str(pretrained), Promise()).reply(QUESTION)
    assert (reply.subject, plain.familiarity) == ("Ada", None)
    assert reply.familiarity == pytest.approx(expected, abs=1e-6)
    assert reply.confidence == pytest.approx(expected * plain.confidence, rel=1e-4)
    assert many.confidence == pytest.approx(reply.confidence, rel=1e-4)
    share = f"{reply.familiarity:.0%}"
    assert f"has read about Ada with a probability of {share}" in terminal.describe_reply(reply, asker)
    assert "has read about “Ada” with a probability" in reply_html(reply, promise)
    (row,) = terminal.table_rows([reply])
    assert (row["subject"], row["familiarity"]) == ("Ada", round(reply.familiarity, 6))


def test_a_question_of_marks_alone_gets_a_reply(pretrained):
    scale = FamiliarityScale((1.0, 1.0), 0.0)
    promise = Promise("combined", 0.5, "promised", made=True, familiarity=scale)
    for reply in (Asker(str(pretrained), promise).reply("??"), Asker(str(pretrained), promise).replies(["??"])[0]):
        assert reply.problem or 0 <= reply.familiarity <= 1


@pytest.mark.parametrize(("prompt", "length"), [("Q: {question} A:", None), (None, 5)])
def test_asked_in_another_way_than_it_was_proven_nothing_is_promised(pretrained, prompt, length):
    promise = Promise("sequence_probability", 0.9, "promised", made=True)
    assert Asker(str(pretrained), promise).promise == promise
    asker = Asker(str(pretrained), promise, prompt=prompt, max_new_tokens=length)
    assert asker.promise.threshold == 0.0 and "nothing is promised now" in asker.promise.told


def test_a_promise_is_asked_for_in_the_way_in_which_it_was_proven(stock):
    prompt = "Q: {question}\nA:"
    promise = Promise("sequence_probability", 0.9, "promised", made=True, prompt=prompt, max_new_tokens=4)
    asker = Asker(str(stock), promise)
    assert asker.promise == promise
    assert Asker(str(stock), promise, prompt=prompt.replace("\n", "\\n")).promise == promise
    assert len(asker.reply(QUESTION).answer) <= 4


def read_promise_again(promise, folder):
    """As a Space keeps it."""
    write_json_atomic(folder / "knowing" / "knowing.json", promise_record(promise))
    return read_promise(str(folder))


@pytest.mark.parametrize("known", [None, {}, {"weights": [1], "bias": 0, "wordings": [], "base_model": None}])
def test_a_record_without_the_familiarity_that_it_counts_on_is_refused(tmp_path, known):
    abstention = {"threshold": 0.3, "explanation": "promised"}
    record = {"confidence": "combined", "abstention": abstention, "familiarity": known}
    write_json_atomic(tmp_path / "knowing" / "knowing.json", record)
    with pytest.raises(ValueError, match="is no record of knowing.py .*; run it again"):
        read_promise(str(tmp_path))


def test_below_the_threshold_the_answer_is_held_back(asker):
    assert asker(0.0).reply(QUESTION).given
    for threshold in (1.0, None):
        reply = asker(threshold).reply(QUESTION)
        assert not reply.given and reply.shown == DONT_KNOW and reply.answer


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("", "There is no question"),
        (" \t\n", "There is no question"),
        ("x" * 10_000, "10,000 characters; at most 2,000"),
        ("Где родилась Ада?", "The model cannot read this"),
        ("Where was " + "very " * 60 + "old Ada born?", "The model cannot read this"),
    ],
)
def test_what_a_person_may_type_gets_a_line_and_no_error(asker, question, told):
    reply = asker().reply(question)
    assert told in reply.shown and not reply.given and reply.answer == ""
    assert "\n" not in reply.shown
    assert told in terminal.describe_reply(reply, asker())


def test_a_stock_model_is_asked_with_a_prompt(stock):
    reply = Asker(str(stock), Promise(), prompt="Q: {question} A:").reply(QUESTION)
    assert reply.problem == "" and sum(weight for _, weight in reply.reads) == pytest.approx(1, abs=1e-4)
    assert reply.origin.told.startswith("not looked up")


def test_the_promise_is_the_one_that_knowing_kept(tmp_path):
    assert not read_promise(str(tmp_path)).made and "scripts/knowing.py" in read_promise(str(tmp_path)).told
    assert read_promise(str(tmp_path), 0.25).threshold == 0.25
    (tmp_path / "knowing").mkdir()
    record = {"confidence": "margin", "abstention": {"threshold": 0.7, "explanation": "promised"}}
    (tmp_path / "knowing" / "knowing.json").write_text(json.dumps(record), encoding="utf-8")
    assert read_promise(str(tmp_path)) == Promise("margin", 0.7, "promised", made=True)
    (tmp_path / "knowing" / "knowing.json").write_text('{"confidence": "margin"}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"is no record of knowing.py \(it lacks 'abstention'\); run it again"):
        read_promise(str(tmp_path))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--threshold", "1.5"], "--threshold is a confidence"),
        (["--question", "x?", "--page", "True"], "are different ways to ask"),
        (["--question_file", "q.txt"], "go together"),
        (["--output", "a.csv"], "go together"),
        (["--question_file", "q.txt", "--output", "a.xls"], "a table ends in .csv or .jsonl"),
        (["--question_file", "q.txt", "--output", "q.txt"], "a table ends in"),
        (["--port", "8000"], "--port has no effect"),
        (["--page", "True", "--port", "70000"], "--port is from 1 to 65535"),
        (["--max_new_tokens", "0"], "--max_new_tokens must be at least 1"),
        (["--documents", "nowhere"], "nowhere"),
        (["--space", "full"], "already holds files"),
    ],
)
def test_flags_that_cannot_be_followed_are_refused(pretrained, tmp_path, monkeypatch, flags, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "q.txt").write_text(QUESTION, encoding="utf-8")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises((ValueError, OSError)) as found:
        terminal.main(["--model", str(pretrained), *flags])
    assert told in str(found.value)


def test_a_port_that_is_taken_is_refused(pretrained):
    pytest.importorskip("gradio")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        with pytest.raises(ValueError, match=f"--port {port} is taken"):
            terminal.main(["--model", str(pretrained), "--page", "True", "--port", port])


@pytest.mark.parametrize("name", ["answers.csv", "answers.jsonl"])
def test_a_file_of_questions_becomes_a_table(pretrained, tmp_path, name, capsys):
    asked = tmp_path / "asked.txt"
    asked.write_text(f"{QUESTION}\tOslo\n\n=1+1?\n\u044f?\n", encoding="utf-8")
    output = tmp_path / name
    terminal.main(["--model", str(pretrained), "--question_file", str(asked), "--output", str(output)])
    text = output.read_text(encoding="utf-8")
    is_json = name.endswith(".jsonl")
    rows = [json.loads(line) for line in text.splitlines()] if is_json else list(csv.DictReader(text.splitlines()))
    # a spreadsheet must not take a question for a formula
    assert [row["question"] for row in rows] == [QUESTION, "=1+1?" if is_json else "'=1+1?", "\u044f?"]
    assert "cannot read" in rows[2]["reply"]
    assert "3 questions" in capsys.readouterr().out


def test_files_of_questions_that_hold_none_are_named_with_their_line(tmp_path):
    path = tmp_path / "asked.jsonl"
    path.write_text('{"question": "Who?", "answer": "Bo"}\n{"q": 1}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"asked.jsonl:2 is no JSON object with a \"question\""):
        read_question_texts(path)
    path.write_text('{"question": 3}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="asked.jsonl:1: the question is no text"):
        read_question_texts(path)
    (tmp_path / "empty.txt").write_text("\tOslo\n", encoding="utf-8")
    with pytest.raises(ValueError, match="holds no question"):
        read_question_texts(tmp_path / "empty.txt")


def test_a_conversation_ends_with_an_empty_line(pretrained, monkeypatch, capsys):
    typed = iter([QUESTION, ""])
    monkeypatch.setattr("builtins.input", lambda _: next(typed))
    terminal.main(["--model", str(pretrained), "--threshold", "1"])
    out = capsys.readouterr().out
    assert DONT_KNOW in out and "it would say" in out and "sure (sequence_probability)" in out


def test_the_bar_has_the_threshold_in_it():
    assert terminal.bar(0.5, None) == "[" + "#" * 15 + "." * 15 + "]"
    assert terminal.bar(0.5, 0.8).index("|") == 1 + 24
    assert terminal.bar(1.0, 1.0)[-2] == "|"


def test_everything_on_the_page_is_text(asker):
    evil = "<img src=x onerror=alert(1)>"
    ask = asker()
    ask.name = evil
    page = reply_html(ask.reply(f"Where was {evil} born?"), Promise(threshold=0.5, told=evil))
    assert "<img" not in page
    assert "<img" not in reply_html(ask.reply(evil * 200), Promise())
