"""The viewer's local server: which address gets which answer of `ViewerApi`."""

from __future__ import annotations

from hrm_scale.base.errors import ConfigError
from hrm_scale.web.assets import page_files
from hrm_scale.web.server import Answer, LocalServer

from .api import ViewerApi
from .search import Search


class ViewerServer(LocalServer):
    """Listens on the loopback interface only. `url` is where the page is."""

    def __init__(self, api: ViewerApi, port: int = 0) -> None:
        """port 0: any free one. EnvironmentProblem when the port is taken."""
        taken = f"--port {port}: cannot listen there ({{reason}}): leave --port out for a free one"
        super().__init__(page_files("dataset"), _routes(api), port=port, taken=taken)


def _routes(api: ViewerApi) -> dict[str, Answer]:
    """Answers by path; each takes the query's fields."""
    search = Search(api)

    def place(query: dict[str, str]) -> tuple[str, int, int, int | None]:
        variant = _number(query, "variant", -1)
        group, copy = _number(query, "group"), _number(query, "copy", 0)
        return query.get("split", ""), group, copy, None if variant < 0 else variant

    return {
        "about": lambda query: api.about(),
        "groups": lambda query: api.groups(
            query.get("split", ""), _number(query, "start"), _number(query, "count")
        ),
        "group": lambda query: api.group(*place(query)),
        "copies": lambda query: api.copies(
            query.get("split", ""),
            _number(query, "group"),
            _number(query, "start"),
            _number(query, "count"),
        ),
        "predict": lambda query: api.predict(*place(query)),
        "search": lambda query: search.hits(query.get("split", ""), query.get("q", "")[:200]),
    }


def _number(query: dict[str, str], name: str, default: int | None = None) -> int:
    text = query.get(name, "")
    if not text and default is not None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ConfigError(f"{name}={text[:40]!r} is not a whole number")
    return int(text)
