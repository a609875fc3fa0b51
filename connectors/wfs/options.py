"""The options of the ``wfs`` kind."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from connectors.features.options import KeyedFeatureOptions

Name = Annotated[str, Field(pattern=r"^[^\W\d][\w.-]*$")]


class WfsOptions(KeyedFeatureOptions):
    """One feature type of a Web Feature Service 1.1.0 with transactions; ``url`` is the address of the service."""

    type_name: Name
    """Name of the feature type, without prefix."""
    namespace: Annotated[str, Field(min_length=1)]
    """The namespace of the feature type: targetNamespace in its DescribeFeatureType."""
    geometry: Name = "geometry"
    """Name of the geometry property."""
    srs_name: Annotated[str, Field(min_length=1)] = "EPSG:4326"
    """The reference system in which geometries are written and read, as the service names it; the mapping's srid."""
    axes: Literal["xy", "yx"] = "xy"
    """The order of coordinates of ``srs_name`` at the service, written and read: ``xy`` (east first) or ``yx``."""
