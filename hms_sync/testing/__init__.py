"""The contract of connectors as a suite for pytest: every kind of ours passes it, and so should yours.

Subclass :class:`ConnectorContract` and give it a :class:`Platform`; docs/writing-a-connector.md shows how.
"""

from hms_sync.testing.contract import ConnectorContract
from hms_sync.testing.platform import LOOPBACK, Platform

__all__ = ["LOOPBACK", "ConnectorContract", "Platform"]
