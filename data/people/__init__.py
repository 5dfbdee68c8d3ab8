"""Synthetic people with known facts, and names of people who do not exist."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "biographies": [
            "biography_documents",
            "biography_questions",
            "reversed_questions",
            "stream_biographies",
        ],
        "invented": ["UNKNOWN_ANSWER", "ask_about", "invent_people"],
        "on_demand": ["BiographyDocuments", "BiographyQuestions"],
        "population": ["Person", "Population", "known_attributes"],
        "telling": ["Diversity", "write_biography"],
        "wordings": ["ATTRIBUTES", "Attribute"],
    },
)
