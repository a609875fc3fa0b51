"""Our folders have common names; another distribution that ships one of them would silently replace our code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import packages_distributions

from outbox.model import HmsSyncError

DISTRIBUTION = "hms-sync"
PACKAGES = ("cdc", "connectors", "hms_sync", "migrations", "outbox", "transformers")


class NotOurPackage(HmsSyncError):
    """One of our packages belongs to somebody else as well."""


def require_own_packages() -> None:
    """Raise :class:`NotOurPackage` where another installed distribution ships one of our top-level packages."""
    owned = foreign_owners(packages_distributions())
    if not owned:
        return
    told = "; ".join(f"{', '.join(owners)} also installs the package {name!r}" for name, owners in owned.items())
    raise NotOurPackage(
        f"{told}: the files of one have replaced those of the other; install {DISTRIBUTION} in an environment "
        "of its own (a container, pipx, uv tool, or a fresh virtual environment)"
    )


def foreign_owners(distributions: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Of a map from package to distributions: our packages that others own, and those others."""
    others = {name: sorted(set(distributions.get(name, ())) - {DISTRIBUTION}) for name in PACKAGES}
    return {name: owners for name, owners in others.items() if owners}
