"""Pictures of what a program computed: the graph behind a tensor, or of a module on an example; and
derivatives explained path by path.
"""

from clearprop.explanation.chain import explain
from clearprop.explanation.derivation import Derivation
from clearprop.explanation.drawing import Drawing, draw

__all__ = ["Derivation", "Drawing", "draw", "explain"]
