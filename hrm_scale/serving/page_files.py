"""The files of a page, by the name under which a browser asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

SHARED = Path(__file__).parent
"""Where the files are that every page has: `theme.css`."""
INDEX = "index.html"
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}


def page_files(folder: Path) -> Mapping[str, Path]:
    """All files of the page in `folder`, and the shared ones. Nothing else is ever served."""
    return {
        path.name: path
        for place in (SHARED, folder)
        for path in place.iterdir()
        if path.suffix in CONTENT_TYPES
    }
