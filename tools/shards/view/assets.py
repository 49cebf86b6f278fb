"""The files of the viewer's page: by name for a server, or joined into one."""

from __future__ import annotations

import re
from pathlib import Path

from hrm_scale.serving.page_files import INDEX, page_files

FILES = page_files(Path(__file__).parent / "page")
"""All files of the page by name."""
_STYLE = re.compile(r'<link rel="stylesheet" href="(?P<name>[a-z_]+\.css)" />')
_SCRIPT = re.compile(r'<script defer src="(?P<name>[a-z_]+\.js)"></script>')
_EMBEDDED_POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:\" />"
)


def read_asset(name: str) -> str:
    return FILES[name].read_text(encoding="utf-8")


def single_page(data: str) -> str:
    """The whole page as one file; `data` (base64) is what it shows instead of asking a server."""
    page = read_asset(INDEX)
    scripts = [match["name"] for match in _SCRIPT.finditer(page)]
    page = _SCRIPT.sub("", page)
    page = _STYLE.sub(lambda match: f"<style>\n{read_asset(match['name'])}</style>", page)
    page = page.replace("<head>", f"<head>\n    {_EMBEDDED_POLICY}", 1)
    body = f'<script type="application/octet-stream" id="embedded">{data}</script>\n'
    body += "".join(f"<script>\n{read_asset(name)}</script>\n" for name in scripts)
    return page.replace("</body>", f"{body}</body>", 1)
