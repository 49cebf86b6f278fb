from hrm_scale.base.errors import run_cli
from hrm_scale.launch.cli import main

run_cli(main)
