"""Python in the documents: it compiles, imports what it uses, and what it imports is there."""

from __future__ import annotations

import ast
import builtins
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = [
    pytest.param(block, id=f"{path.name}-{number}")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.S | re.M)
    )
]


def unbound(tree: ast.Module) -> set[str]:
    """Names that are read and never made: by an import, an assignment, a loop, a function."""
    made: set[str] = set(dir(builtins))
    read: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            made |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            made.add(node.name)
        elif isinstance(node, ast.arg):
            made.add(node.arg)
        elif isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else made).add(node.id)
    return read - made


def test_a_missing_import_is_seen() -> None:
    assert unbound(ast.parse("for a in webdataset.open(b): print(a)")) == {"webdataset", "b"}
    assert len(BLOCKS) > 2


@pytest.mark.parametrize("block", BLOCKS)
def test_python_blocks_stand_alone(block: str) -> None:
    tree = ast.parse(block)
    assert unbound(tree) == set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = import_module(node.module)
            assert [a.name for a in node.names if not hasattr(module, a.name)] == []
        elif isinstance(node, ast.Import):
            for alias in node.names:
                import_module(alias.name)
