"""The documentation site: it builds without a warning, loads nothing from elsewhere, and its links lead somewhere."""

import re
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

ROOT = Path(__file__).parents[2]


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    loading = re.compile(
        r"""<(?:script|img|iframe|source)[^>]*\ssrc="(?:https?:)?//|<link[^>]*rel="(?:stylesheet|preload|icon)"[^>]*href="(?:https?:)?//"""
    )
    assert [page.name for page in pages(site) if loading.search(page.read_text())] == []


def test_every_link_within_the_site_leads_to_a_page_and_a_heading(site: Path) -> None:
    broken = []
    for page in pages(site):
        if page.name == "404.html":  # its links are those of a site at the root of a host
            continue
        for link in re.findall(r'<a[^>]*\shref="([^"]+)"', page.read_text()):
            parts = urlsplit(urljoin(page.as_uri(), link))
            if parts.scheme != "file":
                continue
            target = Path(unquote(parts.path))
            target = target / "index.html" if target.is_dir() else target
            is_there = target.exists() and (not parts.fragment or f'id="{parts.fragment}"' in target.read_text())
            if not is_there and parts.fragment != "__skip":
                broken.append((page.name, link))
    assert broken == []


def test_the_reference_explains_every_public_name(site: Path) -> None:
    import mirror_graph

    headings = re.findall(r'<h2 id="mirror_graph\.[^"]*\.(\w+)"', (site / "reference.html").read_text())
    assert sorted(headings) == sorted(mirror_graph.__all__)


def test_every_page_that_a_reader_is_led_to_says_what_they_can_do_after_it() -> None:
    docs = ROOT / "docs"
    led_to = [*docs.glob("*.md"), *docs.glob("concepts/*.md"), *docs.glob("guides/*.md")]
    for page in led_to:
        assert page.read_text().split("\n\n")[1].startswith("After this page, you "), page
