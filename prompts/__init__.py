"""What each voice is told: one Markdown file a voice, read once, rendered by name."""

from mirror_graph.prompts.rendering import VOICES, block, one_line, quoted, render, unmarked

__all__ = ["VOICES", "block", "one_line", "quoted", "render", "unmarked"]
