"""The ledger: one row a fact of the documents, and what a model makes of it, before and after it was taught."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "facts": ["Fact", "find_facts"],
        "measuring": ["AskedModel", "measure"],
        "verdicts": ["LEDGER_FEATURES", "VERDICTS", "LedgerRow"],
        "ledger": ["Ledger", "make_ledger"],
        "summary": ["summarise_ledger"],
    },
)
