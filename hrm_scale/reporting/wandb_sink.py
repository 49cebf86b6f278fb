"""Weights & Biases. The only module that imports wandb; it never asks and never stops a run."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from hrm_scale.base.files import replace_file
from hrm_scale.base.redaction import redact, redact_values
from hrm_scale.reporting.sinks import Sink, Values

Mode = Literal["auto", "online", "offline", "off"]
_INIT_SECONDS = 30.0
_FINISH_SECONDS = 60.0


def choose_mode(
    mode: Mode, environ: Mapping[str, str], credentials: Callable[[], bool]
) -> tuple[Mode, str]:
    """`online`, `offline` or `off`, and why.

    auto follows WANDB_MODE, then goes online when there are credentials. Without any, even
    `online` becomes offline: wandb would ask for a key, and an unattended run would hang.
    """
    wanted = environ.get("WANDB_MODE", "").lower()
    if mode == "auto" and wanted in ("disabled", "dryrun", "offline"):
        return ("off" if wanted == "disabled" else "offline"), f"WANDB_MODE={wanted}"
    if mode in ("off", "offline"):
        return mode, f"log.wandb={mode}"
    if not credentials():
        return "offline", "no API key found"
    return "online", "API key found"


def _credentials() -> bool:
    """Whether wandb would find a key (variable, token file, `wandb login`), without asking."""
    import wandb

    # Before anything else, or wandb greets the terminal.
    wandb.setup(wandb.Settings(silent=True, console="off"))
    return bool(wandb.login(prompt=False, verify=False))


def run_id(run_dir: Path) -> str:
    """The id under which all processes of this run report; made once, kept in the run folder."""
    path = run_dir / "wandb" / "run-id"
    if path.exists():
        stored = path.read_text().strip()
        if stored:
            return stored
    path.parent.mkdir(parents=True, exist_ok=True)
    new = secrets.token_hex(4)
    replace_file(path, [f"{new}\n".encode()])
    return new


class WandbSink(Sink):
    """Reports to one W&B run, online or into `<run folder>/wandb` to be synced later."""

    name = "wandb"

    def __init__(
        self,
        run_dir: Path,
        *,
        mode: Mode,
        project: str,
        run_name: str,
        config: Mapping[str, Any],
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._run_dir = run_dir
        self._environ = os.environ if environ is None else environ
        self._mode = mode
        self._project = redact(project)
        self._run_name = redact(run_name)
        self._config = redact_values(config)
        self._run: Any = None
        self._told = -1  # the last step sent
        self._told_before_rewind = -1

    def start(self, step: int, total_steps: int | None) -> list[str]:
        try:
            mode, reason = choose_mode(self._mode, self._environ, _credentials)
        except ImportError:
            raise
        except Exception as error:  # a key that cannot be one, an unreadable key file
            mode, reason = "offline", _first_line(error)
        if mode == "off":
            return []
        if mode == "online":
            try:
                self._run = self._init("online")
                return [f"wandb: online ({reason}), {self._run.url}"]
            except Exception as error:
                reason = f"could not go online: {_first_line(error)}"
                self._reset()
        self._run = self._init("offline")
        folder = Path(self._run.dir).parent
        return [f"wandb: offline ({reason}); to upload: wandb sync {folder}"]

    def metrics(self, step: int, values: Values) -> None:
        # Steps that W&B has seen before the restart are ignored there; their values are equal.
        if self._run is not None and step > self._told_before_rewind:
            self._run.log(dict(values), step=step)
            self._told = step

    def rewind(self, step: int) -> list[str]:
        # A W&B run cannot forget steps, and a new one would tear the curves apart. Sending them
        # again would only be refused, one warning each.
        self._told_before_rewind = max(self._told, self._told_before_rewind)
        if self._run is None or self._told_before_rewind <= step:
            return []
        return [
            f"wandb: cannot go back; it keeps the numbers of steps {step + 1} to"
            f" {self._told_before_rewind} from before and goes on after them (metrics.jsonl has"
            " the new ones)"
        ]

    def close(self, exit_code: int, text: str) -> None:
        if self._run is not None:
            self._run.finish(exit_code=exit_code)

    def _reset(self) -> None:
        import wandb

        wandb.teardown()

    def _init(self, mode: Literal["online", "offline"]) -> Any:
        import wandb

        settings = wandb.Settings(
            silent=True,  # no console noise: the one line that matters is ours
            console="off",  # log.txt has the text; capturing it here would slow every print
            # Left out is what W&B would collect by itself and may hold secrets: the command line,
            # the address and changes of the git clone, sources, names of user and machine.
            save_code=False,
            disable_code=True,
            disable_git=True,
            disable_job_creation=True,
            x_disable_meta=True,
            init_timeout=_INIT_SECONDS,
            finish_timeout=_FINISH_SECONDS,
        )
        return wandb.init(
            project=self._project,
            name=self._run_name,
            id=run_id(self._run_dir),
            resume="allow",
            dir=self._run_dir,
            config=self._config,
            mode=mode,
            settings=settings,
        )


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return redact(lines[0]) if lines else type(error).__name__
