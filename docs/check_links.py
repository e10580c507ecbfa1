"""Check of the links within a built site: ``python docs/check_links.py docs/_build/html``.

Every link and image must point to an existing file, and to an existing anchor in it. Links to other
sites are not followed, but no page may load resources from them.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_RESOURCES = {("script", "src"), ("img", "src"), ("iframe", "src"), ("link", "href")}
_LINK_TYPES = {"canonical", "search", "next", "prev", "index", "author", "copyright", "help"}


class Page(HTMLParser):
    """Links, resources and anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.resources: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        for name in ("href", "src"):
            if name in values:
                self.links.add(values[name])
                if (tag, name) in _RESOURCES and values.get("rel") not in _LINK_TYPES:
                    self.resources.add(values[name])


def broken_links(site: Path) -> list[str]:
    """Return a message for each broken link."""
    files = (path.resolve() for path in sorted(site.rglob("*.html")))
    # _static contains templates of the theme.
    pages = {path: Page(path) for path in files if "_static" not in path.parts}
    broken = []
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.resources and parts.scheme != "data":
                    broken.append(f"{name}: loads {link} from another site")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                broken.append(f"{name}: {link} does not exist")
                continue
            anchors = pages[target].anchors if target in pages else None
            if parts.fragment and anchors is not None and unquote(parts.fragment) not in anchors:
                broken.append(f"{name}: {link} has no such anchor")
    return broken


def main() -> int:
    """Print broken links; return 1 if there are any."""
    site = Path(sys.argv[1])
    if not (site / "index.html").is_file():
        print(f"{site} contains no built site: run make docs first")
        return 2
    broken = broken_links(site)
    print(*broken, sep="\n", end="\n" if broken else "")
    print(f"{len(broken)} broken links" if broken else "no broken links")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
