"""The form of one function's code: its syntax tree where that can be proved, else its code object.

Rule 1: the code object decides. The text of a cell or file is used only if compiling it gives the very
code that runs, so a stale file never stands for loaded code.
Rule 2: file names, line numbers and docstrings do not count; constants go through the encoder, so that
frozensets have one order in every process.
"""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
import sys
import weakref
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType
from typing import Any

from prefect_tune.identity.encode import encode

_GLOBAL_OPS = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
_HAS_DOCSTRING = 0x4000000
_forms: dict[int, tuple[weakref.ref, tuple]] = {}


def code_form(code: CodeType) -> tuple:
    """An encodable tuple that stands for this code; equal for code that differs in line numbers only."""
    known = _forms.get(id(code))
    if known is not None and known[0]() is code:
        return known[1]
    bare = object_form(code)
    tree = _tree_form(code, bare)
    form = ("ast", tree) if tree is not None else ("code", sys.version_info[:2], bare)
    key = id(code)
    _forms[key] = (weakref.ref(code, lambda _: _forms.pop(key, None)), form)
    return form


def object_form(code: CodeType) -> tuple:
    """A normalised code object: no file, no lines, constants encoded, nested code likewise."""
    constants: list[Any] = []
    for i, constant in enumerate(code.co_consts):
        if isinstance(constant, CodeType):
            constants.append(object_form(constant))
        elif i == 0 and _is_docstring(code, constant):
            constants.append("docstring")
        else:
            constants.append(encode(constant, f"constant of {code.co_name}"))
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    table = getattr(code, "co_exceptiontable", b"")
    return (code.co_name, counts, names, code.co_code, table, tuple(constants))


def _is_docstring(code: CodeType, first: Any) -> bool:
    """Whether the first constant is a docstring that the code itself never loads."""
    if not isinstance(first, str) or code.co_name.startswith("<") or not code.co_flags & inspect.CO_OPTIMIZED:
        return False
    # Up to 3.12 a `def` keeps its first constant for the docstring; from 3.13 on a flag says so.
    if sys.version_info >= (3, 13) and not code.co_flags & _HAS_DOCSTRING:
        return False
    return not any(op.opcode in dis.hasconst and op.arg == 0 for op in dis.get_instructions(code))


def global_names(code: CodeType) -> list[str]:
    """Sorted names that this code and the code nested in it look up outside of itself."""
    found = set()
    for part in nested(code):
        found |= {op.argval for op in dis.get_instructions(part) if op.opname in _GLOBAL_OPS}
    return sorted(found)


def nested(code: CodeType) -> Iterator[CodeType]:
    """The code itself and every code object within it, outermost first."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from nested(constant)


@lru_cache(maxsize=512)
def compiled(text: str, filename: str) -> tuple[ast.Module, tuple[CodeType, ...]] | None:
    """The tree and all code objects of a source text, or None if it is no plain Python."""
    try:
        tree = ast.parse(text, filename)
        whole = compile(text, filename, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return None
    return tree, tuple(nested(whole))


def _tree_form(code: CodeType, bare: tuple) -> str | None:
    """The dumped tree of the definition, if the source is at hand and compiles to this code."""
    text = "".join(linecache.getlines(code.co_filename))
    found = compiled(text, code.co_filename) if text else None
    if found is None:
        return None
    tree, codes = found
    line = code.co_firstlineno
    twins = [c for c in codes if c.co_firstlineno == line and c.co_name == code.co_name]
    if len(twins) != 1 or object_form(twins[0]) != bare:
        return None
    nodes = [node for node in ast.walk(tree) if _starts_at(node, code.co_name, line)]
    return dump(nodes[0]) if len(nodes) == 1 else None


def _starts_at(node: ast.AST, name: str, line: int) -> bool:
    if isinstance(node, ast.Lambda):
        return name == "<lambda>" and node.lineno == line
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or node.name != name:
        return False
    first = node.decorator_list[0] if node.decorator_list else node
    return first.lineno == line


class _Bare(ast.NodeTransformer):
    """Drops text that stands alone: docstrings, and other statements without effect."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if text else self.generic_visit(node)


def dump(tree: ast.AST) -> str:
    """The tree as text, without positions and docstrings; the same text however often it is asked."""
    return ast.dump(_Bare().visit(tree))
