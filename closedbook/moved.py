"""Where modules went when files moved into rooms (0.2.0): their old names say the new ones, for one release."""

from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# Names below `closedbook.`; one that has become a room, or is a script still, is imported as ever and not in here.
MOVED = {
    "data.biographies": "data.people.biographies",
    "data.biography_wordings": "data.people.wordings",
    "data.denoising": "data.objectives.denoising",
    "data.entities": "data.objectives.entities",
    "data.entity_recall": "data.objectives.entity_recall",
    "data.example": "data.objectives.example",
    "data.fill_in_the_middle": "data.objectives.fill_in_the_middle",
    "data.invented_people": "data.people.invented",
    "data.mappings": "data.generated.mappings",
    "data.population": "data.people.population",
    "data.probes": "data.generated.probes",
    "data.reversed_order": "data.objectives.reversed_order",
    "data.span_corruption": "data.objectives.span_corruption",
    "data.title_windows": "data.objectives.title_windows",
    "data.windows": "data.objectives.windows",
    "data.word_problems": "data.generated.word_problems",
    "evaluation.abstention": "evaluation.knowing.abstention",
    "evaluation.arithmetic_steps": "evaluation.prompting.arithmetic_steps",
    "evaluation.attention_constructions": "evaluation.attention.measured",
    "evaluation.attention_maps": "evaluation.attention.maps",
    "evaluation.attention_pictures": "evaluation.reports.attention",
    "evaluation.baselines": "evaluation.knowing.baselines",
    "evaluation.calibration": "evaluation.knowing.calibration",
    "evaluation.comparison": "evaluation.reports.comparison",
    "evaluation.confidence": "evaluation.answering.confidence",
    "evaluation.continuations": "evaluation.answering.continuations",
    "evaluation.decoding": "evaluation.answering.decoding",
    "evaluation.decoding_ways": "evaluation.answering.decoding_ways",
    "evaluation.demonstrations": "evaluation.prompting.demonstrations",
    "evaluation.embedders": "evaluation.prompting.embedders",
    "evaluation.harness_export": "evaluation.prompting.harness_export",
    "evaluation.harness_task": "evaluation.prompting.harness_task",
    "evaluation.incontext": "evaluation.prompting.incontext",
    "evaluation.incontext_arms": "evaluation.prompting.incontext_arms",
    "evaluation.incontext_laboratory": "evaluation.laboratory.incontext",
    "evaluation.incontext_pictures": "evaluation.reports.incontext",
    "evaluation.incontext_summary": "evaluation.prompting.incontext_summary",
    "evaluation.intervals": "evaluation.statistics.intervals",
    "evaluation.knowledge_bits": "evaluation.laboratory.knowledge_bits",
    "evaluation.laboratory_pictures": "evaluation.laboratory.pictures",
    "evaluation.laboratory_tables": "evaluation.laboratory.tables",
    "evaluation.memorisation": "evaluation.laboratory.memorisation",
    "evaluation.number_answers": "evaluation.prompting.number_answers",
    "evaluation.paired": "evaluation.statistics.paired",
    "evaluation.prompt_decoding": "evaluation.answering.prompts",
    "evaluation.prompt_luck": "evaluation.statistics.prompt_luck",
    "evaluation.provenance": "evaluation.knowing.provenance",
    "evaluation.reasoning": "evaluation.prompting.reasoning",
    "evaluation.reasoning_laboratory": "evaluation.laboratory.reasoning",
    "evaluation.reasoning_summary": "evaluation.prompting.reasoning_summary",
    "evaluation.recall": "evaluation.laboratory.recall",
    "evaluation.report": "evaluation.reports.accuracies",
    "evaluation.report_confidence": "evaluation.reports.confidence",
    "evaluation.report_knowing": "evaluation.reports.knowing",
    "evaluation.report_page": "evaluation.reports.page",
    "evaluation.report_parts": "evaluation.reports.parts",
    "evaluation.report_prompting": "evaluation.reports.generated.prompting",
    "evaluation.report_readme": "evaluation.reports.generated.readme",
    "evaluation.report_run": "evaluation.reports.run",
    "evaluation.report_tables": "evaluation.reports.tables",
    "evaluation.shared_prefix": "evaluation.answering.shared_prefix",
    "evaluation.text_end": "evaluation.answering.text_end",
    "modeling.constructions": "evaluation.attention.constructions",
    "modeling.constructions_relation": "evaluation.attention.constructions_relation",
    "modeling.constructions_spread": "evaluation.attention.constructions_spread",
    "scripts.ablation": "training.experiments.ablation",
    "scripts.ablation_people": "training.experiments.ablation_people",
    "scripts.arguments": "training.arguments",
    "scripts.card_content": "evaluation.reports.card.content",
    "scripts.card_knowing": "evaluation.reports.card.knowing",
    "scripts.card_text": "evaluation.reports.card.text",
    "scripts.command_line": "training.command_line",
    "scripts.compare": "training.experiments.comparison",
    "scripts.documents_read": "training.documents",
    "scripts.hardware": "training.hardware",
    "scripts.incontext_arguments": "training.asking.incontext_arguments",
    "scripts.knowing_arguments": "training.asking.people",
    "scripts.laboratory": "training.laboratory.figures",
    "scripts.laboratory_arms": "training.laboratory.arms",
    "scripts.laboratory_incontext": "training.laboratory.incontext",
    "scripts.laboratory_reasoning": "training.laboratory.reasoning",
    "scripts.laboratory_reasoning_runs": "training.laboratory.reasoning_runs",
    "scripts.laboratory_runs": "training.laboratory.runs",
    "scripts.learning_curve": "training.experiments.learning_curve",
    "scripts.mingpt_checkpoint": "training.conversion.course_checkpoints",
    "scripts.model_card": "training.model_card",
    "scripts.objective_shares": "training.objective_shares",
    "scripts.optimizer": "training.optimizer",
    "scripts.probe": "training.experiments.probe",
    "scripts.probe_training": "training.experiments.probe_training",
    "scripts.question_sets": "training.question_sets",
    "scripts.run_folder": "training.run_folder",
    "scripts.stages": "training.finished_runs",
    "scripts.stock_models": "evaluation.answering.stock_models",
    "scripts.sweep_folder": "training.asking.sweep_folder",
    "scripts.training": "training.trainer",
    "scripts.unknown_people": "training.unknown_people",
    "scripts.variants": "training.experiments.variants",
}


class MovedModules(MetaPathFinder):
    """Asked last, when nothing else knows a module: says where it is now."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Nothing for a name that never was ours.

        Raises:
            ModuleNotFoundError: naming the new place of one that was.
        """
        package, _, name = fullname.partition(".")
        if package == "closedbook" and name in MOVED:
            # Without the `name=` of the error: `from room import name` would drop an error that has it.
            raise ModuleNotFoundError(f"{fullname} is now closedbook.{MOVED[name]} (since closedbook 0.2.0)")
        return None
