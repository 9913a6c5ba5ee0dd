"""What MkDocs does for this site: the README and others outside docs/ become pages."""

import ast
import re
import shutil
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"
LINK = re.compile(r"\[(?P<text>[^\[\]]+)\]\((?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")

MERMAID = ROOT / ".venv" / "site" / "mermaid.min.js"
"""The library that draws the diagrams. `make docs` fetches it once; without it, a diagram is shown as its text."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Load the library that draws, if it was fetched."""
    if MERMAID.exists():
        config.extra_javascript.append("site/mermaid.min.js")
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made of other files."""
    made = {
        "index.md": _page_from_root("README.md"),
        "threat-model.md": _page_from_root("THREAT_MODEL.md"),
        "examples.md": _examples_page(),
        "reference.md": _reference_page(),
        "decisions/index.md": _list_page("Decisions", "decisions"),
    }
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links that leave docs/ to the page that shows the same file."""
    if page.file.generated_by:
        return markdown
    return _with_links(markdown, DOCS / Path(page.file.src_uri).parent, Path(page.file.src_uri).parent)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Name the theme's search dialog, for screen readers."""
    return output.replace('role="dialog"', 'role="dialog" aria-label="Search"')


def on_post_build(config: MkDocsConfig, **_: Any) -> None:
    """Put the drawing library next to the pages."""
    if MERMAID.exists():
        shutil.copy(MERMAID, Path(config.site_dir) / "site" / MERMAID.name)


def _with_links(markdown: str, folder: Path, place: Path) -> str:
    """Return Markdown whose links start at `folder` as a page of the site that stands in `place`."""

    def lead(found: re.Match[str]) -> str:
        if "://" in found["target"]:
            return found[0]
        target = (folder / found["target"]).resolve()
        page = _page_of(target)
        # A file that is no page, such as the licence, is named and not linked.
        if page is None:
            return found["text"]
        anchor = found["anchor"] or (f"#{target.stem}" if target.parent == EXAMPLES else "")
        return f"[{found['text']}]({'../' * len(place.parts)}{page}{anchor})"

    return LINK.sub(lead, markdown)


def _page_of(target: Path) -> str | None:
    """Return the page of the site that shows a file or a folder, or None."""
    if target.parent == EXAMPLES:
        return "examples.md"
    if target == EXAMPLES:
        return "examples.md"
    if target == DOCS / "decisions":
        return "decisions/index.md"
    if target == ROOT / "THREAT_MODEL.md":
        return "threat-model.md"
    return target.relative_to(DOCS).as_posix() if target.is_relative_to(DOCS) else None


def _page_from_root(name: str) -> str:
    """Return a file at the top of the repository as a page of the site."""
    return _with_links((ROOT / name).read_text(encoding="utf-8"), ROOT, Path())


def _examples_page() -> str:
    parts = ["# Examples", "Each program is one idea. None needs a key, and a test runs each of them."]
    for path in sorted(EXAMPLES.glob("*.py")):
        code = path.read_text(encoding="utf-8")
        title = (ast.get_docstring(ast.parse(code)) or path.stem).splitlines()[0]
        parts.append(f'## {path.stem}\n\n{title}\n\n```python title="examples/{path.name}"\n{code}```')
    return "\n\n".join(parts)


ROOMS = ("host", "graphs", "guard", "ledger", "relevance", "models", "state", "scheduling", "errors")
"""The order of the reference: what a program calls first comes first."""


def _reference_page() -> str:
    """Return every public name of `mirror_graph/__init__.pyi`, room by room."""
    stub = ast.parse((ROOT / "mirror_graph" / "__init__.pyi").read_text(encoding="utf-8"))
    imports = [statement for statement in stub.body if isinstance(statement, ast.ImportFrom)]
    names = [(str(statement.module), alias.name) for statement in imports for alias in statement.names]
    names.sort(key=lambda named: ROOMS.index(named[0].split(".")[1]))
    parts = ["# Reference", "Everything here can be imported from `mirror_graph`."]
    parts += [f"::: {module}.{name}" for module, name in names]
    return "\n\n".join(parts)


def _list_page(title: str, folder: str) -> str:
    """Return a page that links to each page of a folder, by its own heading."""
    lines = [f"# {title}", ""]
    for path in sorted((ROOT / "docs" / folder).glob("*.md")):
        heading = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        lines.append(f"- [{heading}]({path.name})")
    return "\n".join(lines)
