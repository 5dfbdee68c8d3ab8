"""Whether a model knows what it knows: calibration, abstention, provenance."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "abstention": ["abstain_on_predictions", "describe_abstention"],
        "baselines": ["MajorityScore", "evaluate_majority", "majority_answer"],
        "calibration": ["Scaling", "calibrate_predictions", "describe_calibration", "fit_scaling"],
        "promise": ["Threshold", "choose_threshold"],
        "provenance": [
            "PROVENANCES",
            "Provenance",
            "summarise_invented",
            "summarise_provenance",
            "trace_questions",
        ],
        "summary": ["describe_knowing", "summarise_knowing"],
    },
)
