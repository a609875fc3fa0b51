"""What a connector kind is made of, for those who write one; docs/writing-a-connector.md shows how."""

from connectors.answers import answer, classify
from connectors.batch import BatchConnector, BatchSession, Gate, Item
from connectors.channel import Basic, Bearer, Channel, HeaderKey
from connectors.exchange import Exchange, HttpConnector, HttpRequest, HttpResponse, TransportFailure
from connectors.kind import ConnectorKind, Probe, verifier_of
from connectors.options import Options
from outbox.model import (
    Action,
    Answer,
    Applied,
    Change,
    Delivery,
    ErrorClass,
    FileContent,
    Guarantee,
    HmsSyncError,
    Json,
    Message,
    NotApplied,
    Operation,
    Outcome,
    Record,
    Rejected,
    RemoteObject,
    Unknown,
)

__all__ = [
    "Action",
    "Answer",
    "Applied",
    "Basic",
    "BatchConnector",
    "BatchSession",
    "Bearer",
    "Change",
    "Channel",
    "ConnectorKind",
    "Delivery",
    "ErrorClass",
    "Exchange",
    "FileContent",
    "Gate",
    "Guarantee",
    "HeaderKey",
    "HmsSyncError",
    "HttpConnector",
    "HttpRequest",
    "HttpResponse",
    "Item",
    "Json",
    "Message",
    "NotApplied",
    "Operation",
    "Options",
    "Outcome",
    "Probe",
    "Record",
    "Rejected",
    "RemoteObject",
    "TransportFailure",
    "Unknown",
    "answer",
    "classify",
    "verifier_of",
]
