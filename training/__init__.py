"""Runs: arguments, data, optimizer, folders, and the stages that scripts start."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "arguments": [
            "BookArguments",
            "ClosedbookTrainingArguments",
            "CorpusArguments",
            "ModelArguments",
            "PopulationArguments",
            "QuestionArguments",
            "ReadingArguments",
            "RegularisationArguments",
        ],
        "documents": ["Corpus", "read_corpus"],
        "finetuning": ["FinetuningSettings", "StartArguments", "finetune"],
        "models": ["build_model"],
        "optimizer": ["MuonWithAdamW"],
        "pretraining": ["PretrainingSettings", "pretrain"],
        "publishing.hub": ["push_model_folder"],
        "run_folder": ["save_model_folder"],
        "bases.loading": ["load_model_folder"],
        "trainer": ["train"],
        "asking.ledger": ["ledger"],
        "asking.questions": ["EvaluationArguments", "evaluate"],
    },
)
