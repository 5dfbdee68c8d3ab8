"""The sweep of chains of thought against direct answers: arms that go on where they stopped, and their summary."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from accelerate import PartialState
from datasets import Dataset

from closedbook.data.reasoning_questions import load_reasoning_questions
from closedbook.evaluation.answering.stock_models import load_stock_model
from closedbook.evaluation.environment import check_recordable, run_environment
from closedbook.evaluation.files import write_json_atomic, write_text_atomic
from closedbook.evaluation.prompting.reasoning import (
    SHOWN,
    ReasoningArm,
    answer_by_reasoning,
    check_chat_template,
    check_demonstrations,
    choose_demonstrations,
)
from closedbook.evaluation.prompting.reasoning_summary import (
    draw_reasoning,
    read_reasoning_arm,
    read_reasoning_arms,
    reasoning_table,
    summarise_reasoning,
)
from closedbook.training.asking.sweep_folder import ask_missing, describe_model
from closedbook.training.checks.outputs import check_prefix
from closedbook.training.command_line import parse_arguments
from closedbook.training.finished_runs import ArmFiles, digest
from closedbook.training.hardware import own_device


@dataclass
class ReasoningArguments:
    """Whom to ask what and how, and where to write."""

    model: str = field(metadata={"help": "a causal language model: a folder, or a name on the Hub"})
    question_file: str = field(metadata={"help": "what is asked: JSON lines with question and answer"})
    output_dir: str = field(metadata={"help": "folder of the sweep"})
    demonstration_file: str | None = field(
        default=None, metadata={"help": "what is shown: JSON lines with question, answer and rationale"}
    )
    arms: list[str] = field(
        default_factory=lambda: ["zero_shot", "direct", "instruction", "worked", "self_consistency=5"],
        metadata={"help": "zero_shot, direct, instruction, worked, self_consistency=N"},
    )
    seeds: list[int] = field(default_factory=lambda: [0], metadata={"help": "of demonstrations and samples"})
    num_questions: int | None = field(default=None, metadata={"help": "how many are asked: the first ones"})
    num_shots: int | None = field(default=None, metadata={"help": "demonstrations; default: all of the file"})
    max_new_tokens: int = field(default=256, metadata={"help": "longest output of a sample, the same in all arms"})
    temperature: float = field(default=0.7, metadata={"help": "of samples; 0.7 as in Wang et al. 2023"})
    chat: bool = field(default=False, metadata={"help": "write prompts by the tokenizer's chat template"})
    chat_template_kwargs: str | None = field(
        default=None,
        metadata={"help": 'what the chat template gets beside the turns, as JSON: {"NAME": value}'},
    )
    results: str | None = field(default=None, metadata={"help": "where the results go, without an ending"})
    tokens_per_batch: int = field(default=8192, metadata={"help": "tokens decoded at once; changes speed only"})
    dtype: str = field(default="auto", metadata={"help": "precision; auto: the checkpoint's, on a CPU float32"})
    trust_remote_code: bool = field(default=False, metadata={"help": "run code that the model brings along"})
    num_threads: int = field(default=0, metadata={"help": "CPU threads; 0: as many as torch takes"})

    def __post_init__(self):
        for name in ("num_questions", "num_shots", "max_new_tokens", "tokens_per_batch"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")
        if self.num_threads < 0:
            raise ValueError(f"--num_threads must be 0 (what torch takes) or positive, got {self.num_threads}")
        for name in ("arms", "seeds"):
            if not getattr(self, name):
                raise ValueError(f"--{name} needs at least one value")
        if self.chat_template_kwargs is not None and not self.chat:
            raise ValueError("--chat_template_kwargs are for the chat template: they need --chat")
        self.template_options()

    def template_options(self) -> dict:
        """What the chat template is given beside the turns.

        Raises:
            ValueError: where that is no JSON object, or holds what is not for the user to say.
        """
        given = self.chat_template_kwargs
        if given is None:
            return {}
        try:
            options = json.loads(given)
        except json.JSONDecodeError as error:
            raise ValueError(f"--chat_template_kwargs {given!r} is no JSON ({error})") from error
        if not isinstance(options, dict):
            raise ValueError(f'--chat_template_kwargs {given!r} is no JSON object, such as {{"NAME": true}}')
        taken = {"conversation", "messages", "tokenize", "add_generation_prompt", "continue_final_message"}
        taken |= {"chat_template", "return_tensors", "return_dict", "padding", "truncation", "max_length"}
        if taken & options.keys():
            raise ValueError(f"--chat_template_kwargs: {sorted(taken & options.keys())} are set by this command")
        return options

    def planned(self, num_demonstrations: int) -> list[ReasoningArm]:
        """Every arm once; seed 0 stands for all where it changes nothing.

        Raises:
            ValueError: for an arm that there is not.
        """
        planned = {}
        for seed in self.seeds:
            for written in self.arms:
                name, _, number = written.partition("=")
                if (number and not number.isdecimal()) or (number and name != "self_consistency"):
                    raise ValueError(f"--arms {written}: samples are for self_consistency=N, N a number")
                sampled, shown = name == "self_consistency", name in SHOWN
                arm = ReasoningArm(
                    name,
                    num_shots=(self.num_shots or num_demonstrations or 1) if shown else 0,
                    num_samples=int(number or 5) if sampled else 1,
                    temperature=self.temperature if sampled else 1.0,
                    seed=seed if shown else 0,  # it changes nothing, so it must not look like another run
                )
                planned[arm] = None
        return list(planned)


def main(argv: list[str]) -> dict | None:
    """Returns the content of the results file; None in all processes but the first."""
    args, _ = parse_arguments((ReasoningArguments,), argv)
    check_recordable(args.results and Path(args.results).parent)
    check_prefix("results", args.results, (".json", ".md", ".png"))
    if args.num_threads:
        torch.set_num_threads(args.num_threads)
    asked, shown = read_asked_and_shown(args)
    planned = args.planned(0 if shown is None else len(shown))
    for arm in planned:
        check_demonstrations(arm, shown, args.demonstration_file or "--demonstration_file, which is not given,")
        choose_demonstrations(asked["question"][:], shown, arm)  # for its errors, before the model is loaded
    folder, sweep = Path(args.output_dir), describe_sweep(args, asked, shown)
    store = ArmFiles(folder, sweep, read_reasoning_arm)

    def begin(state: PartialState) -> Callable[[Sequence[ReasoningArm]], Iterator[list[dict]]]:
        model, tokenizer = load_stock_model(args.model, args.dtype, args.trust_remote_code)
        if args.chat:
            check_chat_template(tokenizer, args.template_options())
        model = model.to(own_device(state))
        how = {name: getattr(args, name) for name in ("max_new_tokens", "chat", "tokens_per_batch")}
        how["chat_template_kwargs"] = args.template_options()
        ask = partial(answer_by_reasoning, model, tokenizer, asked, shown, **how, progress=state.is_main_process)
        return lambda group: map(ask, group)

    return summarise(args, folder, sweep) if ask_missing(store, planned, begin) else None


def read_asked_and_shown(args: ReasoningArguments) -> tuple[Dataset, Dataset | None]:
    """What is asked, and the demonstrations if there is a file of them.

    Raises:
        ValueError: if there are fewer questions than are to be asked.
    """
    asked = load_reasoning_questions(args.question_file)
    count = len(asked) if args.num_questions is None else args.num_questions
    if count > len(asked):
        raise ValueError(f"--num_questions {count}, but {args.question_file} has {len(asked)}")
    shown = load_reasoning_questions(args.demonstration_file) if args.demonstration_file else None
    return asked.select(range(count)), shown


def describe_sweep(args: ReasoningArguments, asked: Dataset, shown: Dataset | None) -> dict:
    """What all arms have in common, and what an arm's outputs depend on beside it; JSON-ready."""
    data = [asked[:], shown[:] if shown is not None else None]
    return {
        **describe_model(args.model, args.dtype),
        "asked": len(asked),
        "demonstrations": 0 if shown is None else len(shown),
        "data": digest(data, 16),
        **{name: getattr(args, name) for name in ("max_new_tokens", "chat")},
        # only where they are given: sweeps of before go on
        **({"chat_template_kwargs": args.template_options()} if args.chat_template_kwargs else {}),
    }


def summarise(args: ReasoningArguments, folder: Path, sweep: dict) -> dict:
    """All arms of the folder in one summary: JSON, table and picture."""
    results = Path(args.results or folder / "reasoning")
    summaries = summarise_reasoning(read_reasoning_arms(folder))
    dropped = sum(row["dropped"] for row in summaries)
    if dropped:
        print(f"{dropped} demonstrations had no room and were dropped, the farthest from each question first")
    content = {"sweep": sweep, "question_file": args.question_file, "arms": summaries, **run_environment()}
    write_json_atomic(results.with_name(results.name + ".json"), content)
    write_text_atomic(results.with_name(results.name + ".md"), reasoning_table(summaries))
    title = f"{Path(args.model).name}, {sweep['asked']} questions of {Path(args.question_file).stem}"
    draw_reasoning(summaries, title, results.with_name(results.name + ".png"))
    print(reasoning_table(summaries))
    return content
