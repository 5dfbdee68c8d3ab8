"""What small models trained from scratch are measured by, with tables and pictures."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "knowledge_bits": ["knowledge_bits", "measure_losses"],
        "memorisation": ["StatedFact", "find_stated_facts", "two_by_two"],
        "recall": ["as_batch", "count_recall"],
    },
)
