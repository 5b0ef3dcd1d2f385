"""Puts the build of the compiled core that suits this processor in this module's own place.

What ``coxlmm._core`` offers is described in ``_core.pyi``; which build is taken, in ``coxlmm.instruction_sets``.
"""

import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location

from coxlmm import instruction_sets

# Every build is compiled as coxlmm._core, whatever its file is called: names and pickles do not tell them apart.
_path = instruction_sets.chosen().origin
_spec = spec_from_file_location(__name__, _path, loader=ExtensionFileLoader(__name__, _path))
_module = module_from_spec(_spec)
_spec.loader.exec_module(_module)
# Not before it is complete: another thread that imports it meanwhile takes what it finds here.
sys.modules[__name__] = _module
