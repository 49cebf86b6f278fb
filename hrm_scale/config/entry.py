"""What every entry point does with its arguments before its own work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hrm_scale.config.compose import Resolved


def resolve(arguments: list[str], description: str, base: str) -> Resolved[Any] | None:
    """The configuration that the arguments ask for; None when they only asked to be shown
    something (`--help`, `--show`), which has been printed then.

    `base` names the entry point: `python -m hrm_scale.BASE`. Raises ConfigError.
    """
    if {"-h", "--help"} & set(arguments):
        from hrm_scale.config.usage import usage

        print(usage(f"python -m hrm_scale.{base}", description, base))
        return None
    from hrm_scale.config.compose import compose

    settings = [argument for argument in arguments if argument != "--show"]
    resolved: Resolved[Any] = compose(settings, base)  # type: ignore[call-overload]
    if len(settings) == len(arguments):
        return resolved
    from hrm_scale.base.redaction import redact
    from hrm_scale.config.show import render_show

    print(redact(render_show(resolved)))
    return None
