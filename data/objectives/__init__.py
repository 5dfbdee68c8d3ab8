"""What a model is to predict of a document: the corruptions, one file a kind, and the table that names them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "entities": ["Entity", "find_entities"],
        "example": ["Example"],
        "table": ["IRREGULAR_RECORDS", "OBJECTIVES", "PIECES", "REASSEMBLE", "check_objectives", "written_by"],
    },
)
