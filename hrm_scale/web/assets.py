"""The files of a page: by name for a server, or joined into one file."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

INDEX = "index.html"
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
SHARED = Path(__file__).parent
"""Where the files of all pages are."""
_STYLE = re.compile(r'[ ]*<link rel="stylesheet" href="([a-z_]+\.css)" />\n')
_SCRIPT = re.compile(r'[ ]*<script defer src="([a-z_]+\.js)"></script>\n')
_PLACE = re.compile(r"\{\{(\w+)\}\}")


def page_files(page: str) -> dict[str, Path]:
    """`index.html` of a page and the style sheets and scripts it names, its own or shared ones."""
    folder = SHARED / "pages" / page
    index = folder / INDEX
    text = index.read_text(encoding="utf-8")
    files = {INDEX: index}
    for name in (*_STYLE.findall(text), *_SCRIPT.findall(text)):
        own = folder / name
        files[name] = own if own.is_file() else SHARED / name
    return files


def single_page(page: str, data: str, places: Mapping[str, str] | None = None) -> str:
    """A page as one file that needs no server and no network.

    data: JSON, or any text without `<`, that `#data` holds; escape `<` as ``\\u003c``. places: HTML
    for each ``{{name}}`` of `index.html`. Only the scripts and style sheets of the page can run,
    whatever the data hold.
    """
    files = page_files(page)
    texts = {name: path.read_text(encoding="utf-8") for name, path in files.items()}
    style, script = (
        "\n".join(text for name, text in texts.items() if name.endswith(suffix))
        for suffix in (".css", ".js")
    )
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}';"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )
    # Before the data are there: what they hold is taken for no place.
    index = _PLACE.sub(lambda match: (places or {})[match[1]], texts.pop(INDEX))
    index = _SCRIPT.sub("", _STYLE.sub("", index))
    start, _, rest = index.partition("  </head>")
    middle, _, end = rest.rpartition("  </body>")
    return (
        f'{start}    <meta http-equiv="Content-Security-Policy" content="{policy}" />\n'
        f"    <style>{style}</style>\n  </head>{middle}"
        f'    <script type="application/json" id="data">{data}</script>\n'
        f"    <script>{script}</script>\n  </body>{end}"
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
