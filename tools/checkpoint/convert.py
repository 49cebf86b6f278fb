"""`python -m tools.checkpoint convert SOURCE --to FORMAT`: to and from other programs' formats."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from hrm_scale.base.command_line import positive
from hrm_scale.base.untrusted import printable_lines
from hrm_scale.reporting.banner import render_banner

FORMATS = ("hrm_scale", "published", "safetensors", "onnx", "torch-export")
_EPILOG = """\
examples:
  convert step_52080 --to hrm_scale --output runs/hrm --data-path data/arc-aug-1000
  convert step_65100 --to hrm_scale --output runs/trm --arch trm_mlp arch.L_cycles=6
  convert checkpoints/PROJECT/RUN --to published --output published/mine
  convert checkpoints/PROJECT/RUN --to safetensors --output hub/mine --results results.json
  convert checkpoints/PROJECT/RUN --to onnx --output onnx/mine --check-puzzles 1000

KEY=VALUE are settings of the network that a published file does not say, such as arch.num_heads=8.
All formats: docs/interchange.md in a clone
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command; what is imported here is light."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.usage = (
        "python -m tools.checkpoint convert SOURCE --to FORMAT --output DIR [KEY=VALUE ...]"
    )
    parser.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="published step_N or .safetensors file, folder of --to safetensors, run folder",
    )
    parser.add_argument(
        "--to",
        required=True,
        choices=FORMATS,
        metavar="FORMAT",
        dest="target",
        help=", ".join(FORMATS),
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder to make")
    parser.add_argument("--overwrite", action="store_true", help="replace what convert wrote there")
    parser.add_argument(
        "--weights",
        choices=("auto", "averaged", "raw"),
        default="auto",
        help="auto: averaged where there are any (default)",
    )
    parser.add_argument("--data-path", metavar="DATASET", help="the data it is to be used with")
    reading = parser.add_argument_group("published files")
    reading.add_argument("--config", type=Path, help="its all_config.yaml, if not beside it")
    reading.add_argument("--arch", metavar="NAME", help="preset for what cannot be read")
    reading.add_argument("--seq-len", type=positive, metavar="N", help="cells of a puzzle")
    table = parser.add_argument_group("puzzle table, when the data set has other identifiers")
    table.add_argument(
        "--identifiers",
        choices=("keep", "remap", "extend", "drop"),
        default="keep",
        help="keep (must fit, default), remap by name, extend with zeros, drop",
    )
    table.add_argument(
        "--identifiers-file",
        type=Path,
        metavar="FILE",
        help="names of its rows (default identifiers.json beside SOURCE)",
    )
    writing = parser.add_argument_group("writing")
    writing.add_argument(
        "--orig-mod", action="store_true", help="published: names as of a compiled model"
    )
    writing.add_argument(
        "--results", type=Path, metavar="FILE", help="safetensors: results.json for the card"
    )
    writing.add_argument(
        "--check-puzzles",
        type=positive,
        default=100,
        metavar="N",
        help="onnx, torch-export: puzzles to compare on (default 100)",
    )


def convert(options: argparse.Namespace, settings: list[str]) -> None:
    """Read SOURCE, print what was decided, write the folder, print what it is for."""
    from hrm_scale.interchange.output import new_folder, require_free
    from hrm_scale.interchange.sources import ImportOptions, read_source

    output = Path(os.path.expanduser(options.output))
    require_free(output, overwrite=options.overwrite)
    arch = [f"arch={options.arch}"] if options.arch else []
    import_options = ImportOptions(
        settings=[*arch, *settings],
        config=options.config,
        data_path=options.data_path,
        seq_len=options.seq_len,
        identifiers=options.identifiers,
        identifiers_file=options.identifiers_file,
        weights=options.weights,
    )
    model, decisions = read_source(options.source, import_options)
    parameters = sum(tensor.numel() for tensor in model.tensors.values())
    rows = [
        *decisions,
        ("weights", model.weights, f"of step {model.step}"),
        ("parameters", f"{parameters:,}", "buffers included"),
    ]
    print(render_banner(str(options.source), rows), flush=True)
    with new_folder(output, overwrite=options.overwrite) as folder:
        if options.target == "hrm_scale":
            from hrm_scale.interchange.targets import write_checkpoint

            write_checkpoint(folder, model, output)
            says = f"evaluate: python -m hrm_scale.evaluate checkpoint={output}"
        elif options.target == "published":
            from hrm_scale.interchange.targets import write_published

            name = write_published(folder, model, compiled=options.orig_mod)
            says = f"evaluate with the published code: evaluate.py checkpoint={output / name}"
        elif options.target == "safetensors":
            from hrm_scale.interchange.hub import write_hub_folder

            write_hub_folder(folder, model, output.name, options.results)
            says = "before publishing, fill in the license at the top of README.md"
        else:
            from hrm_scale.interchange.graphs import write_onnx, write_program

            write = write_onnx if options.target == "onnx" else write_program
            says = str(write(folder, model, output.name, options.check_puzzles))
    print(printable_lines(f"\nwritten: {output}\n{says}"))
