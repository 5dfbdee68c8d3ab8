"""What a model card says: metadata, and the words around the facts of run.json, config.json and evaluations.

Whatever comes from a user (names, paths, tasks, commands) goes through `card_text.py` first.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from transformers import AutoConfig

import closedbook.modeling  # noqa: F401  (makes AutoConfig know the architectures)
from closedbook.evaluation.answering.stock_models import from_pretrained
from closedbook.evaluation.reports.card.knowing import knowing_lines, knowing_results
from closedbook.evaluation.reports.card.ledger import ledger_lines
from closedbook.evaluation.reports.card.text import cell, fenced, public, public_command
from closedbook.evaluation.results import PROTOCOLS
from closedbook.evaluation.run_record import Run, Stage
from closedbook.modeling.tokenization_char import MASK_CHARACTER

TEMPLATE = Path(__file__).with_name("template.md")
FAMILIES = {
    "vanilla_gpt": "a GPT (decoder-only transformer)",
    "perceiver_gpt": "a Perceiver GPT",
}
TITLES = {"pretrain": "Pretraining", "finetune": "Fine-tuning", "converted": "Conversion"}
SNIPPET = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = {name}  # where this folder lies, or its name on the Hub
model = AutoModelForCausalLM.from_pretrained(folder{trust})
tokenizer = AutoTokenizer.from_pretrained(folder{trust})
prompt = tokenizer({prompt}, return_tensors="pt")
output = model.generate(**prompt, max_new_tokens={room})[0, prompt["input_ids"].shape[1] :]
print(tokenizer.decode(output))

batch = tokenizer(
    [{prompt}, {shorter}],  # several at once
    padding=True,
    padding_side="left",  # so that no answer begins after padding
    return_tensors="pt",
)
outputs = model.generate(**batch, max_new_tokens={room}, do_sample=False)[:, batch["input_ids"].shape[1] :]
print(tokenizer.batch_decode(outputs))"""


def build_card(
    folder: Path,
    run: Run,
    results: Sequence[Mapping[str, Any]],
    knowing: dict | None = None,
    ledger: dict | None = None,
) -> ModelCard:
    """The card of a model folder.

    Args:
        folder: a whole path: its last part is the model's name.
        run: the record of the run.
        results: as `make_result` makes them, or the part that `evaluations.json` keeps.
        knowing: what scripts/knowing.py wrote, if it did.
        ledger: what scripts/ledger.py wrote, if it did.
    """
    remedy = "A card is written for models of this package, which need none"
    adapter = base_of(folder)
    config = from_pretrained(AutoConfig, adapter or folder, remedy=remedy)
    own = config.model_type in FAMILIES
    sizes = config.get_text_config()
    name = " ".join(folder.name.encode("utf-8", "replace").decode().split()) or "model"
    stages, protocol = run.stages, run.protocol
    # a result may be older than the word for how this run was made
    results = [result | ({"protocol": protocol} if protocol else {}) for result in results]
    datasets = [stage.dataset for stage in stages if stage.dataset]
    bases = [stage.base_model for stage in stages if "/" in (stage.base_model or "")]
    synthetic = all("biographies" in (stage.corpus, stage.questions) for stage in stages)
    context = getattr(sizes, "max_position_embeddings", None)
    block_size = min(run.last.arguments.get("block_size") or 128, context or 128) if not own else context
    prompt = example_prompt(run, block_size, folder)
    measured = [eval_result(result) for result in results] + knowing_results(knowing)
    metadata = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["closedbook", config.model_type],
        license=run.last.license,
        language="en" if synthetic else None,
        base_model=bases[-1] if bases else None,
        datasets=datasets or None,
        metrics=list(dict.fromkeys(entry.metric_type for entry in measured)) or None,
        model_name=name if measured else None,
        eval_results=measured or None,
    )
    content = _template().render(
        metadata.to_dict(),
        card_data=metadata.to_yaml(),
        cell=cell,
        fenced=fenced,
        name=name,
        config=sizes,
        own=own,
        level="character-level" if run.last.tokenizer is None and own else "causal",
        unit="characters" if run.last.tokenizer is None and own else "tokens",
        context=context,
        adapter=adapter,
        asked=run.last.prompt,
        parameters=run.last.parameters,
        family=FAMILIES.get(config.model_type, config.model_type),
        attention=getattr(config, "attention", "softmax").replace("_", " "),
        position=getattr(config, "position", "learned"),
        layout=getattr(config, "latent_layout", None),
        history=PROTOCOLS.get(protocol, "trained"),
        snippet=SNIPPET.format(
            trust=", trust_remote_code=True" if own else "",
            name=json.dumps(name, ensure_ascii=False),  # such a string is one of Python, too
            prompt=json.dumps(prompt, ensure_ascii=False),
            shorter=json.dumps(prompt[len(prompt) // 2 :], ensure_ascii=False),
            room=max(1, min(32, block_size - len(prompt))),
        ),
        stages=[describe_stage(stage, {*datasets, *bases}) for stage in stages],
        results=[result_cells(result) for result in results],
        knowing=knowing_lines(knowing) + ledger_lines(ledger),
        synthetic=synthetic,
        license=run.last.license,
    )
    return ModelCard(content)


@cache  # to make it takes longer than to fill it, and every run and evaluation writes a card
def _template() -> jinja2.Template:
    """As `ModelCard.from_template` makes it anew for every card."""
    return jinja2.Template(TEMPLATE.read_text(encoding="utf-8"))


def base_of(folder: Path) -> str | None:
    """The base model of an adapter's folder; None for a folder with a whole model."""
    path = folder / "adapter_config.json"
    if not path.is_file():
        return None
    return json.loads(path.read_text(encoding="utf-8")).get("base_model_name_or_path")


def example_prompt(run: Run, block_size: int, folder: Path) -> str:
    """A prompt in the form that the model was trained on, of characters that it knows."""
    objectives = {name.partition("=")[0] for name in run.last.objectives}
    if objectives == {"left_to_right"}:
        text, mark = "Ada Lind was born in ", ""
    elif run.last.stage == "pretrain":
        text, mark = f"Ada Lind was born in {MASK_CHARACTER}.", MASK_CHARACTER
    else:
        text, mark = "Where was Ada Lind born?", MASK_CHARACTER
    if run.last.prompt is not None:
        question = "Where was Ada Lind born?"
        return question if run.last.prompt == "chat" else run.last.prompt.replace("{question}", question)
    if run.last.tokenizer is not None:
        return text + mark
    known = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    text = "".join(character for character in text if character in known)
    return text[: max(0, block_size // 2 - 1)] + mark or MASK_CHARACTER


def eval_result(result: dict) -> EvalResult:
    """One entry of the metadata's `model-index`, where the Hub takes the type of a data set for a name there."""
    return EvalResult(
        task_type="question-answering",
        task_name="Closed-book question answering",
        dataset_type=re.sub(r"[^A-Za-z0-9_.-]+", "-", result["task"]).strip("-") or "questions",
        dataset_name=result["task"],
        dataset_split=result["split"],
        metric_type="exact_match",
        metric_name="Exact match",
        metric_value=result["accuracy"],
        metric_args={
            "wilson_interval_95": result["interval"],
            "num_questions": result["n"],
            "num_correct": result["correct"],
            "protocol": result["protocol"],
            "seed": result["seed"],
        },
    )


def result_cells(result: dict) -> list[str]:
    """One row of the table of results."""
    low, high = result["interval"]
    confidence = result.get("mean_confidence")
    majority = result.get("baselines", {}).get("majority")
    return [
        cell(result["task"]),
        cell(result["split"]),
        cell(result["protocol"].replace("_", " ")),
        f"{result['seed']}",
        f"{result['correct']:,}",
        f"{result['n']:,}",
        f"{result['accuracy']:.1%}",
        f"{low:.1%} to {high:.1%}",
        "" if confidence is None else f"{confidence:.1%}",
        f"{majority['accuracy']:.1%} ({cell(majority['answer'])})" if majority else "",
    ]


def describe_stage(stage: Stage, hub_names: set[str]) -> dict:
    """The words for one stage of training: its title, data, arguments, conditions and command."""
    told = {
        "corpus {}": stage.corpus,
        "{} of the Hub": stage.dataset,
        "documents: {}": stage.documents,
        "characters in them: {}": stage.document_characters,
        "objectives: {}": ", ".join(stage.objectives),
        "started from {}": stage.base_model,
        "questions {}": stage.questions,
        "training questions: {}": stage.training_questions,
        "people left out because they are asked about elsewhere: {}": len(stage.excluded_people),
        "checkpoint {}": stage.checkpoint,
        "characters read, repetitions included: {}": stage.train_characters,
    }
    given = {name: value for name, value in stage.arguments.items() if value not in (None, [], {})}
    arguments = {name: public(value, hub_names) for name, value in given.items()}
    versions = ", ".join(f"{name} {version}" for name, version in stage.versions.items())
    conditions = {
        "seed": "" if stage.seed is None else str(stage.seed),
        "optimizer steps": stage.steps,
        "examples a step": stage.global_batch_size,
        "processes": stage.world_size,
        "seconds of training": stage.train_seconds,
        "loss on a fixed draw of the training records": stage.eval_loss,
        "hardware": stage.hardware,
        "versions": versions,
        "commit of closedbook": stage.commit,
    }
    return {
        "title": TITLES.get(stage.stage, "Training"),
        "data": [text.format(cell(value)) for text, value in told.items() if value],
        "recipe": public(stage.recipe or "", hub_names),
        "arguments": yaml.safe_dump(arguments, sort_keys=False, allow_unicode=True) if arguments else "",
        "conditions": {name: cell("" if value is None else value) for name, value in conditions.items()},
        "command": public_command(stage.command or "", hub_names),
    }
