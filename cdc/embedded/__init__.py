"""A private PostgreSQL for machines without one: started on first use, gone with the process that started it."""

from cdc.embedded.launcher import Embedded, start
from cdc.embedded.programs import find_programs

__all__ = ["Embedded", "find_programs", "start"]
