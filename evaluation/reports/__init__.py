"""Pictures, tables and pages made from result files."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "accuracies": ["accuracy_figure", "learning_figure", "plot_stages", "read_curve"],
        "confidence": ["invented_figure", "provenance_figure", "reliability_figure", "risk_coverage_figure"],
        "page": ["build_page"],
        "generated.readme": ["fill_blocks"],
        "tables": ["accuracy_table", "results_table"],
    },
)
