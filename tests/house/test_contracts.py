"""Every kind of connector passes the contract of connectors: a new one without it goes red here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from connectors.registry import OURS

CONTRACT = Path(__file__).parents[1] / "contract"


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    """The subclasses of ConnectorContract, with the module that they stand in."""
    for path in sorted(CONTRACT.glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and "ConnectorContract" in map(ast.unparse, node.bases):
                yield f"tests.contract.{path.stem}", node


def kind_of(module: str, contract: ast.ClassDef) -> str:
    """The kind of the platform that its fixture says it returns."""
    (fixture,) = [each for each in contract.body if isinstance(each, ast.FunctionDef) and each.name == "platform"]
    assert isinstance(fixture.returns, ast.Name), f"{contract.name}.platform does not say which platform it returns"
    return str(getattr(import_module(module), fixture.returns.id).kind.name)


def test_every_kind_passes_the_contract_of_connectors() -> None:
    tried = {kind_of(module, contract) for module, contract in classes()}
    assert set(OURS) - tried == set(), "kinds without a subclass of ConnectorContract in tests/contract"
