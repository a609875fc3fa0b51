"""The ``arcgis`` kind: features of one layer of an ArcGIS feature service. From the specification, not proven yet."""
