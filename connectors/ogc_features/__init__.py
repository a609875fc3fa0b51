"""The ``ogc_features`` kind: items of a collection of OGC API Features, Part 4 (create, replace, delete)."""
