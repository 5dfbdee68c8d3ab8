"""Streams made on the fly: probes of copying and recall, mappings, word problems."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "mappings": ["FAMILIES", "MappingExample", "MappingExamples", "split_mappings"],
        "probes": ["PROBES", "ProbeExample", "ProbeExamples"],
        "word_problems": ["ANSWER_STYLES", "WordProblem", "WordProblems"],
    },
)
