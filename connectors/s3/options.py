"""The options of the ``s3`` kind."""

from __future__ import annotations

from connectors.conditional import Conflict
from connectors.durations import Seconds
from connectors.options import Options
from connectors.templates import PathTemplate


class S3Options(Options):
    """One object per record, in the bucket (and below the prefix) that ``url`` names: https://s3.example/bucket/prefix."""

    path: PathTemplate = "/{record_name}"
    """The key of a record's object below the url, such as /rulings/{year}/{record_key}.pdf. An object keeps its key
    while it is there; no two records may have the same. ``{record_name}`` is a name of type, key and a UUID that suits
    every record."""
    conflict: Conflict = "ours"
    """Who wins where a third party edited an object of ours: ``ours`` overwrites, ``theirs`` rejects the delivery."""
    quiet: Seconds = 60.0
    """How long a request whose answer never came may still arrive. A delete waits for it where one may be under way: a
    late create would bring the object back."""
    not_applied: frozenset[int] = frozenset({429})
    """Statuses that the platform documents as "nothing happened, come back later"."""
