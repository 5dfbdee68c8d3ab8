"""Stand-in for a module that the source distribution leaves out."""


class ExportTesterMixin:
    """Without tests: `tests/modeling/` exports every architecture itself."""
