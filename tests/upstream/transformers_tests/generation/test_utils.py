"""Stand-in for a module that the source distribution leaves out."""


class GenerationTesterMixin:
    """Without tests: `tests/modeling/` holds generation and caches of every architecture to its own laws.

    A common test insists that testers of generative models inherit from this class.
    """
