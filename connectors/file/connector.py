"""The connector of the ``file`` kind."""

from __future__ import annotations

from connectors.channel import Channel
from connectors.file.options import FileOptions
from connectors.file.places import Places
from connectors.file.session import FileSession
from outbox.model import Guarantee


class FileConnector:
    """Appends to one journal. Raises HmsSyncError where the URL names none."""

    guarantee = Guarantee.EXACT_TX
    quiet_seconds = 0.0
    window_seconds: float | None = None

    def __init__(self, url: str, options: FileOptions) -> None:
        self._places = Places.of(url)
        self._options = options

    def open(self, _channel: Channel, deadline_seconds: float) -> FileSession:
        """A session of its own; nothing is opened yet."""
        return FileSession(self._places, self._options, deadline_seconds)
