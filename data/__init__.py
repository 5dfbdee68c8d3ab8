"""Documents, questions, objectives, the mixture and its packing."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "corpora": ["CORPORA", "load_hub_corpus", "load_text", "load_wiki", "load_wiki_bio"],
        "mentions": ["find_mentions", "occurs"],
        "mixture": ["Component", "Mixture"],
        "packing": ["PackingCollator", "pack"],
        "questions": [
            "QUESTION_SETS",
            "check_fit",
            "entity_key",
            "find_overlap",
            "load_cs224n",
            "load_question_file",
            "remove_overlap",
            "split_by_entity",
        ],
        "hub_questions": ["HUB_QUESTION_SETS", "load_lama", "load_nq_open", "load_popqa", "load_trivia_qa"],
        "reasoning_questions": ["load_reasoning_questions"],
        "people.population": ["Population"],
        "people.biographies": ["biography_documents", "biography_questions"],
        "objectives.example": ["Example"],
        "objectives.table": ["OBJECTIVES"],
    },
)
