"""Makes the function named by DRILL_FAIL (`module:Class.method`) fail, in every Python that has this on its path.

With a number behind it (`module:Class.method:1`) so many calls of each process succeed before.
"""

from __future__ import annotations

import importlib
import itertools
import os
import sys
from typing import Any, NoReturn


def _fail() -> NoReturn:
    sys.stderr.write(f"injected into {os.environ['DRILL_FAIL']}\n")
    sys.stderr.flush()
    raise RuntimeError("injected")


if os.environ.get("DRILL_FAIL"):
    _module, _path, *_first = os.environ["DRILL_FAIL"].split(":")
    _good = itertools.count(int(_first[0]) if _first else 0, -1)
    _home: Any = importlib.import_module(_module)
    *_parents, _name = _path.split(".")
    for _parent in _parents:
        _home = getattr(_home, _parent)
    _usual = getattr(_home, _name)

    def _replaced(*args: Any, **options: Any) -> Any:
        return _usual(*args, **options) if next(_good) > 0 else _fail()

    setattr(_home, _name, _replaced)
