"""The options of the ``file`` kind."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from connectors.options import Options
from connectors.sizes import Bytes


class Rotate(Options):
    """When the file is finished and the next one begins; looked at before each append."""

    size: Bytes | None = None
    """The file is finished before it would grow beyond this size."""
    every: Literal["day"] | None = None
    """The file of a day (UTC) is finished by the first line of a later one."""

    @model_validator(mode="after")
    def _says_when(self) -> Rotate:
        if self.size is None and self.every is None:
            raise ValueError("names neither size nor every (write one of them, or remove rotate)")
        return self


class FileOptions(Options):
    """Lines of JSON (NDJSON) in one file of this machine, each with its number, the delivery's key and the record."""

    rotate: Rotate | None = None
