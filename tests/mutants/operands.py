"""A mutator that poodle does not have: a part of a condition is left out."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from poodle.data_types import Mutator

if TYPE_CHECKING:
    from poodle.data_types import FileMutation


class OperandMutator(ast.NodeVisitor, Mutator):  # type: ignore[misc] # poodle has no types
    """``a and b`` becomes ``a``, and ``b``; the same for ``or``."""

    mutator_name = "Operand"

    def create_mutations(self, parsed_ast: ast.Module, file_lines: list[str], *_: Any, **__: Any) -> list[FileMutation]:
        """The mutations of a module."""
        self.mutants: list[FileMutation] = []
        self.visit(parsed_ast)
        return self.mutants

    def visit_BoolOp(self, node: ast.BoolOp) -> None:  # ast's name
        """Leaves out each operand in turn."""
        for left_out in node.values:
            kept = [one for one in node.values if one is not left_out]
            rest = kept[0] if len(kept) == 1 else ast.BoolOp(node.op, kept)
            self.mutants.append(self.create_file_mutation(node, f"({ast.unparse(rest)})"))
        self.generic_visit(node)
