"""What each voice is told: one Markdown file a voice, read once, rendered by name."""

from mirror_graph.prompts.rendering import (
    VOICES,
    block,
    is_all_tags,
    may_be_echo,
    one_line,
    quoted,
    render,
    unechoed,
    unmarked,
)

__all__ = ["VOICES", "block", "is_all_tags", "may_be_echo", "one_line", "quoted", "render", "unechoed", "unmarked"]
