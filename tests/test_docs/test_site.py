"""The documentation site: built without warnings, and every link in it leads somewhere."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from helpers.paths import ROOT
from helpers.readme_commands import READMES


class Page(HTMLParser):
    """What a page links to and loads, and the anchors that it has."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loaded, self.anchors = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors.update(attrs[name] for name in ("id", "name") if attrs.get(name))
        if tag == "a" and "href" in attrs:
            self.links.append(attrs["href"])
        if tag in ("img", "script", "iframe", "source") and "src" in attrs:
            self.loaded.append(attrs["src"])
        if tag == "link" and "stylesheet" in attrs.get("rel", ""):
            self.loaded.append(attrs["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Built in a process of its own: autodoc imports modules anew, and their classes are others."""
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-c",
        "docs",
        ".",
        folder,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_links(site):
    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert len(pages) > 40
    broken = []
    for path, page in pages.items():
        for link in [*page.links, *page.loaded]:
            url = urlsplit(link)
            if url.scheme or not (url.path or url.fragment):
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            anchors = pages[target].anchors if target in pages else set()
            if not target.exists() or (url.fragment and unquote(url.fragment) not in anchors):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert not broken, "\n".join(broken)


def test_needs_no_network(site):
    for path in site.rglob("*.html"):
        outside = [link for link in Page(path).loaded if urlsplit(link).netloc]
        assert not outside, f"{path.relative_to(site)}: {outside}"


def test_every_page_is_in_the_site(site):
    """All Markdown but the README, the repository's front page, and tables that a tool draws."""
    for readme in READMES:
        if "/" in readme and "/studies/" not in readme:
            assert (site / readme).with_suffix(".html").is_file(), readme


def anchors(text):
    """Anchors of Markdown headings, as GitHub and MyST make them."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("readme", READMES)
def test_links_of_markdown(readme):
    """Read as on GitHub, without the site."""
    text = re.sub(r"^```.*?^```", "", (ROOT / readme).read_text(), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        url = urlsplit(link)
        if url.scheme:
            continue
        target = (ROOT / readme).parent / url.path if url.path else ROOT / readme
        assert target.exists(), link
        if url.fragment:
            assert target.suffix == ".md", link
            assert url.fragment in set(anchors(Path(target).read_text())), link
