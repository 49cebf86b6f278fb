from hrm_scale.base.errors import run_cli

from .cli import main

run_cli(main)
