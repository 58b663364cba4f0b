"""Formats of exports; Parquet's writer is loaded only when it is asked for, since few need it and it is large."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any, Final, cast

from umbel.export.columns import Column
from umbel.export.sheets import TEXT_FORMATS, Sheet, text_sheet

_PARQUET: Final = "umbel.export.parquet"


def sheet(form: str, columns: Sequence[Column]) -> Sheet:
    """A `SheetMaker` for every format."""
    if form == "parquet":
        try:
            home: Any = importlib.import_module(_PARQUET)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "pyarrow":
                raise
        else:
            return cast("Sheet", home.Parquet(columns))
    return text_sheet(form, columns)


def formats() -> tuple[str, ...]:
    """The formats that can be written here."""
    return (*TEXT_FORMATS, *(["parquet"] if importlib.util.find_spec("pyarrow") else []))
