"""What lm-evaluation-harness runs of an exported task: its questions, its demonstrations and its score.

`harness_export.py` copies this file into the folder of a task, next to the files it reads, so it imports nothing
of its own package: the folder also works where that is not installed.
"""

import importlib.util
import json
from pathlib import Path

from datasets import Dataset
from lm_eval.api.samplers import ContextSampler

FOLDER = Path(__file__).resolve().parent

_spec = importlib.util.spec_from_file_location("normalisation", FOLDER / "normalisation.py")
normalisation = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(normalisation)


def load_questions(**_) -> dict[str, Dataset]:
    """What is asked, as the split `test`; what the harness passes, the task's metadata, is not used."""
    return {"test": Dataset.from_list(_read("questions.jsonl"))}


class ExportedSampler(ContextSampler):
    """Shows each question the demonstrations that were selected for it; draws nothing by itself.

    The harness hands over its few-shot split, which is the questions themselves, since only then a sampler is told
    which question is asked. Demonstrations come from the task's pool instead.
    """

    def __init__(self, df=None, **kwargs):
        super().__init__(_read("pool.jsonl"), **kwargs)

    def sample(self, n: int, eval_doc=None, df=None, **kwargs) -> list[dict]:
        """The pool's rows for `eval_doc`, in the order of the prompt.

        Raises:
            ValueError: If more are asked for than were selected.
        """
        selected = eval_doc["demonstrations"]
        if n > len(selected):
            raise ValueError(
                f"{n} demonstrations were asked for, but this task was exported with {len(selected)}: "
                f"pass --num_fewshot {len(selected)} or less, or export it again with --num_shots {n}"
            )
        return [self.df[row] for row in selected[n - 1]] if n else []


def process_results(doc: dict, results: list[str]) -> dict[str, float]:
    """1 if the answer is one of the accepted ones once both are normalised, else 0."""
    return {"answer_match": float(normalisation.says_the_same(results[0], doc["answers"]))}


def _read(name: str) -> list[dict]:
    lines = (FOLDER / name).read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]
