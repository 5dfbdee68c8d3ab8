"""What a run of a pretrained model does where nobody says otherwise."""

import pytest

from closedbook.training.arguments import AdapterArguments, ClosedbookTrainingArguments
from closedbook.training.bases.defaults import adapt_to_pretrained
from closedbook.training.command_line import parse_flags
from closedbook.training.trainer import count_steps


def arguments(*flags: str) -> ClosedbookTrainingArguments:
    (args,) = parse_flags(ClosedbookTrainingArguments, ["--output_dir", "out", *flags])
    return args


@pytest.mark.parametrize(("rank", "rate"), [(0, 1e-4), (8, 3e-4)])
def test_a_pretrained_model_is_trained_gently_and_an_adapter_at_three_times_the_rate(rank, rate):
    args = arguments()
    adapt_to_pretrained(args, AdapterArguments(lora_rank=rank))
    assert (args.optimizer, args.learning_rate, args.weight_decay) == ("adamw", rate, 0.0)


def test_what_a_flag_named_stays():
    args = arguments("--learning_rate", "0.5")
    adapt_to_pretrained(args, AdapterArguments())
    assert (args.learning_rate, args.num_train_epochs) == (0.5, 20)


@pytest.mark.parametrize(
    ("flags", "documents", "steps"),
    [
        ([], 10, 100),  # twenty passes would be 25
        ([], 100, 250),
        (["--num_train_epochs", "20"], 10, 25),
        (["--max_steps", "3"], 10, 3),
    ],
)
def test_few_documents_get_a_least_number_of_steps_unless_somebody_said_how_many(flags, documents, steps):
    args = arguments(*flags)
    least = adapt_to_pretrained(args, AdapterArguments())
    args.global_batch_size = 8
    assert count_steps(args, documents, least) == steps
