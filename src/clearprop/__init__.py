"""clearprop."""
