"""The daemon: composes ledger, transformers and connectors into a courier."""
