"""The files of pages: what is served, what one file holds, and that nothing is missing."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from hrm_scale.web import assets

PAGES = sorted(path.parent.name for path in Path(assets.__file__).parent.glob("pages/*/index.html"))


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a page that overrides nothing and adds one script."""
    folder = tmp_path / "pages" / "one"
    folder.mkdir(parents=True)
    (tmp_path / "shared.css").write_text("b { color: red; }\n")
    (tmp_path / "unused.js").write_text("nothing\n")
    (folder / "own.js").write_text('const text = "{{title}} </body>";\n')
    (folder / "index.html").write_text(
        "<html>\n  <head>\n"
        '    <link rel="stylesheet" href="shared.css" />\n  </head>\n  <body>\n'
        "    <h1>{{title}}</h1>\n"
        '    <script defer src="own.js"></script>\n  </body>\n</html>\n'
    )
    monkeypatch.setattr(assets, "SHARED", tmp_path)
    return folder


def test_files_are_those_that_the_page_names(page: Path) -> None:
    assert assets.page_files("one") == {
        "index.html": page / "index.html",
        "shared.css": page.parents[1] / "shared.css",
        "own.js": page / "own.js",
    }


def test_one_file_runs_its_own_script_only(page: Path) -> None:
    text = assets.single_page("one", '{"a": "{{title}}"}', {"title": "A title"})
    assert "<h1>A title</h1>" in text
    assert '<script type="application/json" id="data">{"a": "{{title}}"}</script>' in text
    assert "href=" not in text
    assert "src=" not in text
    for kind, tag in (("script", "script"), ("style", "style")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in text
    assert text.index("</style>") < text.index("<body>") < text.index('const text = "{{title}}')
    assert text.endswith("</script>\n  </body>\n</html>\n")


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_small_and_name_nothing_outside(name: str) -> None:
    for file, path in assets.page_files(name).items():
        text = path.read_text(encoding="utf-8")
        assert path.suffix in assets.CONTENT_TYPES
        assert len(text.splitlines()) <= 300, file
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(", text), file
