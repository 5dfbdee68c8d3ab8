"""Which people a run keeps out."""

import pytest

from closedbook.data.people.population import Population
from closedbook.data.questions import entity_key
from closedbook.training.arguments import PopulationArguments, QuestionArguments
from closedbook.training.question_sets import ask_about_people, check_asked_people, learnable_questions

PEOPLE = PopulationArguments(num_people=103)


def split(share: float, fold: int, seed: int = 3, excluded: tuple[str, ...] = (), people=PEOPLE):
    args = QuestionArguments(validation_share=share, validation_fold=fold, exclude_people=list(excluded))
    return learnable_questions(args, people, seed)


@pytest.mark.parametrize(("share", "number"), [(0.5, 2), (0.25, 4), (0.2, 5), (0.1, 10), (1 / 3, 3)])
def test_folds_keep_everybody_out_once(share, number):
    everything = split(0, 1).questions
    kept_out: list[str] = []
    for fold in range(1, number + 1):
        found = split(share, fold)
        assert found.validation is not None
        rows = [*found.questions["question"], *found.validation["question"]]
        assert sorted(rows) == sorted(everything["question"])
        names = set(map(entity_key, found.validation["entity"]))
        assert names.isdisjoint(map(entity_key, found.questions["entity"]))
        trained_on = set(found.questions["question"])
        left = [text for text in everything["question"] if text in trained_on]
        assert found.questions["question"][:] == left  # in the order in which they come
        kept_out += names
    assert len(kept_out) == len(set(kept_out)) == len(set(map(entity_key, everything["entity"])))


@pytest.mark.parametrize(("share", "number", "num_people"), [(0.05, 20, 117), (0.1, 10, 58), (0.02, 50, 209)])
def test_no_two_folds_meet_however_their_sizes_are_rounded(share, number, num_people):
    people = PopulationArguments(num_people=num_people)
    names = [set(split(share, fold, people=people).validation["entity"]) for fold in range(1, number + 1)]
    everybody = set(split(0, 1, people=people).questions["entity"])
    assert sum(map(len, names)) == len(set.union(*names)) == len(everybody)


@pytest.mark.parametrize("share", [1.0, -0.1, 1.5])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match="fractions have to be positive"):
        split(share, 1)


def test_the_first_fold_is_what_a_share_alone_keeps_out():
    number = 5
    whole, first = split(0.2, 1), split(1 / number, 1)
    assert whole.validation["question"][:] == first.validation["question"][:]
    others = {name for fold in range(2, number + 1) for name in split(0.2, fold).validation["entity"]}
    assert others.isdisjoint(whole.validation["entity"])


def test_folds_are_of_a_seed_and_of_who_is_left():
    assert split(0.2, 2, seed=3).validation["entity"][:] != split(0.2, 2, seed=4).validation["entity"][:]
    name = split(0.2, 2).validation["entity"][0]
    assert name not in split(0.2, 2, excluded=(name,)).validation["entity"]


@pytest.mark.parametrize(
    ("share", "fold", "said"),
    [
        (0, 2, "--validation_fold 2 has no effect"),
        (0.2, 6, "from 1 to 5"),
        (0.2, 0, "from 1 to 5"),
        (0.3, 2, "do not make a whole"),
        (0.9, 2, "do not make a whole"),
    ],
)
def test_a_fold_that_there_is_not_is_refused(share, fold, said):
    with pytest.raises(ValueError, match=said):
        split(share, fold)


@pytest.mark.parametrize("num_people", [50, 478_861, 100_000_000])
def test_of_many_people_as_many_are_asked_about_as_is_said(num_people):
    people = PopulationArguments(num_people=num_people, num_asked_people=50, attributes=["employer"])
    population = Population(num_people)
    parts = {split: ask_about_people(people, split) for split in ("train", "test")}
    assert {split: len(part) for split, part in parts.items()} == {"train": 30, "test": 20}
    asked = [population.find(name).index for part in parts.values() for name in part["entity"]]
    assert sorted(asked) == [number * num_people // 50 for number in range(50)]
    for part in parts.values():
        assert part["answers"][:] == [[population.find(name).facts["employer"]] for name in part["entity"]]


def test_all_are_asked_where_nothing_else_is_said():
    everybody = PopulationArguments(num_people=40, num_asked_people=40)
    asked = ask_about_people(PopulationArguments(num_people=40), "test")
    assert asked.to_list() == ask_about_people(everybody, "test").to_list()


@pytest.mark.parametrize(
    ("num_people", "asked", "message"),
    [
        (500_001, None, "all of 500,001 people are too many: .* at most 500,000, with --num_asked_people"),
        (10**8, 500_001, "--num_asked_people must be from 1 to 500,000, not 500,001"),
        (10**8, 0, "--num_asked_people must be from 1 to 500,000, not 0"),
        (20, 21, "--num_asked_people must be from 1 to 20, not 21"),
    ],
)
def test_more_than_can_be_asked_are_refused_with_the_flag(num_people, asked, message):
    people = PopulationArguments(num_people=num_people, num_asked_people=asked)
    with pytest.raises(ValueError, match=message):
        ask_about_people(people, "test")
    check_asked_people(people, "file")  # which are about others


def test_who_is_excluded_by_name_is_in_any_wording(tmp_path, capsys):
    path = tmp_path / "asked.tsv"
    rows = [
        "Where was Ada Lind born?\tOslo",
        "Who is Ada Lind from Bergen?\ta painter",
        "Where is Bo Ek from?\tLund",
    ]
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    args = QuestionArguments(questions="file", train_questions=str(path), exclude_people=["ada lind"])
    found = learnable_questions(args, PEOPLE, 1)
    assert found.questions["question"][:] == ["Where is Bo Ek from?"]
