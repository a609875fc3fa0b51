"""The options of the ``webdav`` kind."""

from __future__ import annotations

from connectors.conditional import Conflict
from connectors.options import Options
from connectors.templates import PathTemplate


class WebDavOptions(Options):
    """One file per record, below the collection that ``url`` names."""

    path: PathTemplate = "/{record_name}"
    """Where a record's file stands below the url, such as /rulings/{year}/{record_key}.pdf; collections on the way are
    made. A file keeps its address while it is there; no two records may have the same. ``{record_name}`` is a name of
    type, key and a UUID that suits every record."""
    conflict: Conflict = "ours"
    """Who wins where a third party edited a file of ours: ``ours`` overwrites, ``theirs`` rejects the delivery."""
    not_applied: frozenset[int] = frozenset({429})
    """Statuses that the server documents as "nothing happened, come back later"."""
