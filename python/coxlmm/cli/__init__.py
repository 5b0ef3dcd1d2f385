"""The command line: the steps of the library, one command each.

Whatever is slow to import (torch, transformers, scikit-learn) is imported by the command that needs it.
"""

from coxlmm.cli.commands import app

__all__ = ["app"]
