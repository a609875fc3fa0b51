"""The ``wfs`` kind: features of one type of a Web Feature Service with transactions (WFS-T 1.1.0)."""
