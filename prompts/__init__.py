"""The prompts: one Markdown file per template, read once, rendered by name."""

from mirror_graph.prompts.templates import (
    TEMPLATES,
    escape_brackets,
    fenced,
    is_all_tags,
    may_be_echo,
    one_line,
    quoted,
    render,
    strip_leading_tags,
)

__all__ = [
    "TEMPLATES",
    "escape_brackets",
    "fenced",
    "is_all_tags",
    "may_be_echo",
    "one_line",
    "quoted",
    "render",
    "strip_leading_tags",
]
