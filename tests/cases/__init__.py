"""One file a family of operations, one `Case` an operation; see `case.py` for the form.

A family file defines ``CASES``. Adding an operation means adding its case: a test compares this list with the module's.
"""

import importlib
import pkgutil

CASES = []
for _info in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
    if _info.name != "case":
        CASES.extend(importlib.import_module(f"{__name__}.{_info.name}").CASES)
