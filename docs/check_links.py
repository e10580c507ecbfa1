"""Check the links inside a built site: ``python docs/check_links.py docs/_build/html``.

Every link and picture of a page has to lead to a file that is there, and to a place in it that is
there. Links to other sites are not followed, but no page may load anything from one.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("link", "href")}
_NOT_LOADED = {"canonical", "search", "next", "prev", "index", "author", "copyright", "help"}


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it that may be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if value}
        self.places |= {found[name] for name in ("id", "name") if name in found}
        for name in ("href", "src"):
            if name in found:
                self.links.add(found[name])
                if (tag, name) in _LOADED and found.get("rel") not in _NOT_LOADED:
                    self.loaded.add(found[name])


def broken_links(site: Path) -> list[str]:
    """Return a line for each link that leads nowhere."""
    found = (path.resolve() for path in sorted(site.rglob("*.html")))
    # In _static are pieces of the theme, with what its templates fill in.
    pages = {path: Page(path) for path in found if "_static" not in path.parts}
    wrong = []
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.loaded and parts.scheme != "data":
                    wrong.append(f"{name}: loads {link} from another site")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                wrong.append(f"{name}: {link} is not there")
                continue
            places = pages[target].places if target in pages else None
            if parts.fragment and places is not None and unquote(parts.fragment) not in places:
                wrong.append(f"{name}: {link} has no such place")
    return wrong


def main() -> int:
    """Print broken links; the exit status says whether there are any."""
    site = Path(sys.argv[1])
    if not (site / "index.html").is_file():
        print(f"{site} holds no built site: run make docs first")
        return 2
    wrong = broken_links(site)
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print(f"{len(wrong)} broken links" if wrong else "all links lead somewhere")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
