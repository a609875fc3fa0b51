"""Two machines made of network namespaces, with two ways between them: ``lan0`` and ``wg0``."""

from tests.netns.machines import Machines, machines

__all__ = ["Machines", "machines"]
