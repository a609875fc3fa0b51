"""The ``http`` kind: any REST platform whose records are resources, described by options alone."""
