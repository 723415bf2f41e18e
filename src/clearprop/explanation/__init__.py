"""Pictures of what a program computed: the graph behind a tensor, or of a module on an example."""

from clearprop.explanation.drawing import Drawing, draw

__all__ = ["Drawing", "draw"]
