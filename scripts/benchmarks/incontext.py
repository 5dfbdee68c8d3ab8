"""In-context prompts: `complete_prompts` against the library's own `generate`, on the same model and questions.

    python scripts/benchmarks/incontext.py --model path/to/model --question_file asked.jsonl --output speed.json

Without --model: random weights of the shape of SmolLM2-135M. Without --question_file: birth places of synthetic
people. The first questions are the demonstrations of all others, so that prompts share them, as with fixed
demonstrations; where every question has its own, there is nothing to share and `left_padded` is what to expect.

* ours: `closedbook.evaluation.prompt_decoding.complete_prompts`, greedy.
* peer: `model.generate` with its cache, one prompt at a time.
* left_padded: `model.generate` on left-padded batches of --batch_size prompts, sorted by length.

All decode greedily in float32, end with the line, and must give the same texts, else the run fails. The number
is seconds for all questions, making tokens and texts included. All repeat in turns in one process, after a few
questions that are not counted. `ratio` is how many times as fast as one prompt at a time ours is (the target is
2), `left_padded_ratio` how many times as fast as left-padded batches; both are of medians. Peak memory comes from
a process for each of ours and the peer. The last line of stdout is one JSON object.
"""

import statistics
import sys
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

from closedbook.data.people.biographies import biography_questions
from closedbook.data.people.population import Population
from closedbook.data.questions import load_question_file
from closedbook.evaluation.answering.batches import answer_text, end_ids, ready_for_decoding
from closedbook.evaluation.answering.decoding_ways import Decoding
from closedbook.evaluation.answering.prompts import complete_prompts
from closedbook.evaluation.answering.stock_models import load_stock_model
from closedbook.evaluation.environment import check_recordable
from closedbook.scripts.benchmarks.answering import WARMUP_QUESTIONS, count_equal
from closedbook.scripts.benchmarks.measure import (
    SIDES,
    PeerArguments,
    alternate,
    check_flags,
    device,
    memory_in_fresh_process,
    now,
    report,
    run_for_memory,
)
from closedbook.training.checks.commands import run_command
from closedbook.training.command_line import parse_flags
from closedbook.training.hardware import own_threads

END = "\n"
PADDED = "left_padded"


@dataclass
class IncontextBenchmarkArguments(PeerArguments):
    """Flags of this benchmark."""

    model: str | None = field(
        default=None, metadata={"help": "folder of a causal language model; default: random"}
    )
    question_file: str | None = field(default=None, metadata={"help": "file of questions and answers"})
    num_questions: int = field(default=20, metadata={"help": "how many are asked"})
    num_shots: int = field(default=8, metadata={"help": "demonstrations, the same for all questions"})
    max_new_tokens: int = field(default=16, metadata={"help": "longest answer in tokens"})
    tokens_per_batch: int = field(default=8192, metadata={"help": "of ours"})
    batch_size: int = field(default=16, metadata={"help": "of left-padded batches"})


def load_prompts(args: IncontextBenchmarkArguments) -> list[str]:
    """A prompt for each question asked, all with the same demonstrations.

    Raises:
        ValueError: if the file has too few questions.
    """
    wanted = args.num_shots + args.num_questions
    if args.question_file is None:
        rows = biography_questions(Population(wanted))
    else:
        rows = load_question_file(args.question_file)
    if len(rows) < wanted:
        raise ValueError(
            f"--question_file {args.question_file}: {len(rows)} questions are fewer than the {args.num_shots} "
            f"demonstrations and {args.num_questions} questions asked for"
        )
    asked = [f"Question: {question}\nAnswer:" for question in rows["question"][:wanted]]
    shown = zip(asked[: args.num_shots], rows["answers"][: args.num_shots], strict=True)
    demonstrations = "".join(f"{question} {answers[0]}\n\n" for question, answers in shown)
    return [demonstrations + question for question in asked[args.num_shots :]]


def load_model(folder: str | None):
    """The model in float32 and its tokenizer; or random weights and the 256 bytes as tokens."""
    if folder is not None:
        model, tokenizer = load_stock_model(folder)
        return model.float(), tokenizer
    set_seed(0)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
    )
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return LlamaForCausalLM(config), PreTrainedTokenizerFast(tokenizer_object=backend)


def complete_all(args: IncontextBenchmarkArguments, model, tokenizer, prompts: list[str]) -> list[str]:
    """Ours."""
    options = {"max_new_tokens": args.max_new_tokens, "tokens_per_batch": args.tokens_per_batch}
    found = complete_prompts(model, tokenizer, prompts, Decoding(), end=END, progress=False, **options)
    return [completion.text for completion in found]


def generate_all(args, model, tokenizer, ends: list[int], batch_size: int, prompts: list[str]) -> list[str]:
    """The library's `generate` on left-padded batches; with a batch size of 1 there is no padding."""
    ids = [tokenizer(prompt)["input_ids"] for prompt in prompts]
    order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
    texts = {}
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        width = len(ids[rows[0]])
        padded = [[ends[0]] * (width - len(ids[row])) + ids[row] for row in rows]
        mask = [[0] * (width - len(ids[row])) + [1] * len(ids[row]) for row in rows]
        with ready_for_decoding(model):
            output = model.generate(
                torch.tensor(padded, device=model.device),
                attention_mask=torch.tensor(mask, device=model.device),
                max_new_tokens=args.max_new_tokens,
                do_sample=False,
                eos_token_id=ends,
                pad_token_id=ends[0],
            )
        for row, new in zip(rows, output[:, width:].tolist(), strict=True):
            texts[row] = answer_text(tokenizer, new, ends, END)
    return [texts[row] for row in range(len(prompts))]


def main(argv: list[str]) -> dict:
    (args,) = parse_flags(IncontextBenchmarkArguments, argv)
    check_recordable(args.output and Path(args.output).parent)
    counts = ("num_questions", "num_shots", "max_new_tokens", "tokens_per_batch", "batch_size", "repeats")
    check_flags(args.only, **{name: getattr(args, name) for name in counts})
    torch.set_num_threads(args.num_threads or own_threads())
    prompts = load_prompts(args)
    model, tokenizer = load_model(args.model)
    model.to(device()).eval()
    ends = end_ids(model, tokenizer, END)  # known before the clock starts, for the peers
    completers = {
        "ours": partial(complete_all, args, model, tokenizer),
        "starter": partial(generate_all, args, model, tokenizer, ends, 1),
        PADDED: partial(generate_all, args, model, tokenizer, ends, args.batch_size),
    }
    if args.only:
        return run_for_memory(partial(completers[args.only], prompts))
    texts: dict[str, list[str]] = {}

    def measure(side: str) -> float:
        start = now()
        texts[side] = completers[side](prompts)
        return now() - start

    for completer in completers.values():
        completer(prompts[:WARMUP_QUESTIONS])
    taken = alternate({side: partial(measure, side) for side in completers}, args.repeats)
    equal = min(count_equal(prompts, texts["ours"], texts[side]) for side in ("starter", PADDED))
    memory = {side: memory_in_fresh_process(__file__, argv, side) for side in SIDES}
    return report(
        "incontext",
        "seconds",
        taken,
        False,
        memory,
        args.output,
        left_padded=statistics.median(taken[PADDED]),
        left_padded_repeats=taken[PADDED],
        left_padded_ratio=statistics.median(taken[PADDED]) / statistics.median(taken["ours"]),
        num_questions=len(prompts),
        equal_answers=equal,
        parameters=model.num_parameters(),
        settings=asdict(args) | {"precision": str(model.dtype)},
    )


if __name__ == "__main__":
    sys.exit(run_command(main))
