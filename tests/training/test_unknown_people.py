"""Fine-tuning with people whom nobody read about, and finding the pretraining text again."""

import pytest

from closedbook.data.questions import entity_key
from closedbook.evaluation.run_record import Run, Stage, read_run
from closedbook.training.arguments import PopulationArguments
from closedbook.training.documents import documents_read
from closedbook.training.question_sets import ask_about_people

PEOPLE = PopulationArguments(num_people=20, attributes=["birth_place"])


def test_the_run_file_leads_back_to_the_text_that_was_read(pretrained):
    run = read_run(pretrained)
    documents = documents_read(run, None, None, PopulationArguments(num_people=3))
    assert len(documents) == run.last.documents == 40  # twenty people in two wordings
    assert sum(map(len, documents["text"])) == run.last.document_characters
    later = run.then(Stage(stage="finetune"))
    assert documents_read(later, None, None, PEOPLE).to_list() == documents.to_list()


def test_flags_win_over_the_run_file_and_stand_in_for_it(pretrained, files):
    run = read_run(pretrained)
    assert documents_read(run, "wiki", files["wiki"], PEOPLE)["title"][0] == "Ada Lind"
    assert documents_read(Run(), "wiki", files["wiki"], PEOPLE)["title"][0] == "Ada Lind"
    with pytest.raises(ValueError, match="--corpus"):
        documents_read(Run(), None, None, PEOPLE)
    with pytest.raises(ValueError, match="--corpus_path"):
        documents_read(Run(), "wiki", None, PEOPLE)


def test_finetuning_adds_the_questions_and_records_the_names(tiny, pretrained, tmp_path):
    flags = [*tiny.people(), "--max_steps", "1"]
    plain = tiny.finetune(tmp_path / "plain", pretrained, *flags)
    facts = tiny.finetune(tmp_path / "unknown", pretrained, *flags, "--num_unknown_people", "5")
    assert plain.unknown_people == []
    assert facts.training_questions == plain.training_questions == 12
    names = read_run(tmp_path / "unknown").last.unknown_people
    assert len(set(map(entity_key, names))) == 5
    everybody = {name for split in ("train", "test") for name in ask_about_people(PEOPLE, split)["entity"]}
    assert everybody.isdisjoint(names)


def test_a_model_trained_on_it_refuses_people_it_was_told_to_know_nothing_of(tiny, pretrained, tmp_path):
    # Long enough to learn six questions by heart: "unknown" is 4 of 16 training questions.
    flags = [*tiny.people(), "--max_steps", "150", "--learning_rate", "0.02", "--num_unknown_people", "12"]
    facts = tiny.finetune(tmp_path / "unknown", pretrained, *flags)
    questions = tmp_path / "questions.tsv"
    asked = "".join(f"Where was {name} born?\tunknown\n" for name in facts.unknown_people)
    questions.write_text(asked, encoding="utf-8")
    more = ["--questions", "file", "--question_file", questions, "--output_dir", tmp_path / "out"]
    assert tiny.evaluate(tmp_path / "unknown", *more)["accuracy"] > 0.5


def test_names_are_those_of_nobody_in_the_files_that_exclude_people(tiny, files, tmp_path):
    with files["wiki"].open("a", encoding="utf-8") as wiki:
        wiki.write("Hal Zorn. Hal Zorn spoke.\n")  # else the model would not know the letter k of "unknown"
    model = tmp_path / "model"
    tiny.pretrain(model, "--corpus", "wiki", "--corpus_path", files["wiki"], "--max_steps", "1")
    taken = tmp_path / "taken.txt"
    firsts, lasts = zip(*[name.split() for name in ("Ada Lind", "Bo Marsh", "Cy Ross", "Di Stone")], strict=True)
    asked = [f"{first} {last}" for first in firsts for last in lasts]
    taken.write_text("".join(f"Where was {name} born?\n" for name in asked[1:]), encoding="utf-8")
    flags = ["--questions", "file", "--train_questions", files["train"], "--max_steps", "1"]
    flags += ["--num_unknown_people", "20", "--exclude_people_of", taken]
    facts = tiny.finetune(tmp_path / "out", model, *flags)
    assert len(facts.unknown_people) == 20
    assert set(asked).isdisjoint(facts.unknown_people)


def test_too_many_unknown_people_are_refused_before_training(tiny, pretrained, tmp_path):
    with pytest.raises(ValueError, match="names of people who do not exist, not 5000"):
        tiny.finetune(tmp_path / "out", pretrained, *tiny.people(), "--num_unknown_people", "5000")
    assert not (tmp_path / "out").exists()
