"""The page's server: which address gets which answer."""

from __future__ import annotations

from hrm_scale.base.errors import ConfigError
from hrm_scale.playing.api import PlayApi
from hrm_scale.web.assets import page_files
from hrm_scale.web.server import LOOPBACK, LocalServer


class PlayServer(LocalServer):
    """Serves the page of one model. Ending it ends what is being solved."""

    def __init__(self, api: PlayApi, *, host: str = LOOPBACK, port: int = 0) -> None:
        """EnvironmentProblem when the port is taken or the host is not this machine."""
        self._api = api
        routes = {
            "about": lambda query: api.about(),
            "example": lambda query: api.example(_number(query.get("number", "0"))),
            "task": lambda query: api.task(query.get("name", "")),
        }
        taken = (
            f"host={host} port={port}: cannot listen there ({{reason}}): type port=0 for a free"
            " port, or port=N for another one"
        )
        streams = {"solve": api.solve, "read": api.read, "check": api.check}
        super().__init__(page_files("play"), routes, streams, host=host, port=port, taken=taken)

    def stop(self) -> None:
        super().stop()
        self._api.close()


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ConfigError(f"number={text[:40]!r} is not a whole number")
    return int(text)
