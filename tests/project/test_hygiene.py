"""The rules of the code base that a machine can check: imports, sizes, names, packaging."""

from __future__ import annotations

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("hrm_scale", "shards", "tools", "benchmarks")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MAX_LINES = 500
MAX_FUNCTION_LINES = 80
MAX_MODULES = 20
MAX_ENTRIES = 8

# Packages that a program of another project may use by themselves.
ISOLATED = ("hrm_scale.models", "hrm_scale.optim", "hrm_scale.data")
ONLY_IN = {
    "accelerate": "hrm_scale.engine",
    "deepspeed": "hrm_scale.engine",
    "wandb": "hrm_scale.reporting",
}
ENTRY_POINTS = (
    "hrm_scale.train",
    "hrm_scale.evaluate",
    "hrm_scale.predict",
    "hrm_scale.play",
    "hrm_scale.demo",
    "hrm_scale.doctor",
    "hrm_scale.launch",
    "shards.arc",
    "shards.convert",
    "shards.fetch",
    "shards.generate",
    "shards.maze",
    "shards.sudoku",
    "tools.shards",
    "tools.checkpoint",
    "tools.plan",
    "tools.run",
    "tools.slurm",
    "tools.sweep",
    "benchmarks.planner",
    "benchmarks.step",
    "benchmarks.loader",
    "benchmarks.engines",
    "benchmarks.table",
    "benchmarks.arc_build",
)
HELP_CPU_SECONDS = 0.5
# Released in step with the requirement that brings them.
COMPANIONS = {"omegaconf": "hydra-core", "pydantic-core": "pydantic"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[str]:
    """Absolute names of every module a file imports, anywhere in it."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            # `from package import name` may import the module package.name.
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def inside(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def is_allowed(name: str, packages: tuple[str, ...]) -> bool:
    # The root package holds the version and nothing else.
    return name == "hrm_scale" or any(inside(name, package) for package in packages)


IMPORTS = [(module_name(path), name) for path in SOURCES for name in imports_of(path)]


def offending(rule: str, pairs: list[tuple[str, str]]) -> str:
    return rule + "".join(f"\n  {module} imports {name}" for module, name in sorted(set(pairs)))


def test_imports_are_seen_at_all() -> None:
    assert ("hrm_scale.doctor", "hrm_scale.base.errors.run_cli") in IMPORTS
    assert ("hrm_scale.doctor", "torch") in IMPORTS


def declared() -> dict[str, set[str]]:
    """Package -> packages it may import: the `Imports:` line of its docstring."""
    allowed = {}
    for init in sorted((ROOT / "hrm_scale").glob("*/__init__.py")):
        text = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""
        line = re.search(r"^Imports: ([^.]*)\.$", text, re.MULTILINE)
        allowed[init.parent.name] = set(re.split(r",\s+", line.group(1))) if line else set()
    return allowed


DECLARED = declared()


@pytest.mark.parametrize("package", DECLARED)
def test_packages_import_what_their_docstring_says(package: str) -> None:
    inside_package = f"hrm_scale.{package}"
    bad = [
        (module, name)
        for module, name in IMPORTS
        if inside(module, inside_package)
        and inside(name, "hrm_scale")
        and not inside(name, inside_package)
        and name.split(".")[1] not in DECLARED[package] | {"__version__"}
    ]
    assert not bad, offending(f"hrm_scale/{package}/__init__.py does not declare this", bad)


def test_the_architecture_page_shows_what_packages_import() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+`) \|[^|]*\| ([^|]+) \|$", text, re.MULTILINE)
    shown = {
        package: set() if imports == "nothing of ours" else set(imports.split(", "))
        for names, imports in rows
        for package in re.findall(r"`(\w+)`", names)
    }
    assert shown == DECLARED


def test_no_package_imports_in_a_circle() -> None:
    levels: dict[str, int] = {}

    def level(package: str, above: tuple[str, ...]) -> int:
        assert package not in above, " imports ".join([*above, package])
        if package not in levels:
            below = [level(name, (*above, package)) for name in DECLARED.get(package, ())]
            levels[package] = max(below, default=-1) + 1
        return levels[package]

    assert max(level(package, ()) for package in DECLARED) > 2
    assert levels["base"] == 0


@pytest.mark.parametrize("package", ["hrm_scale.data.remote"])
def test_no_modules_of_a_package_import_in_a_circle(package: str) -> None:
    below: dict[str, set[str]] = {}
    modules = {module for module, _ in IMPORTS if inside(module, package)}
    for module, name in IMPORTS:
        target = name if name in modules else name.rpartition(".")[0]
        if {module, target} <= modules and module != target:
            below.setdefault(module, set()).add(target)
    assert len(list(TopologicalSorter(below).static_order())) > 5


@pytest.mark.parametrize("package", ["hrm_scale.data", "tools.shards", "shards"])
def test_no_folders_of_a_package_import_in_a_circle(package: str) -> None:
    depth = package.count(".") + 2
    modules = {module for module, _ in IMPORTS}
    below: dict[str, set[str]] = {}
    for module, name in IMPORTS:
        target = name if name in modules else name.rpartition(".")[0]
        if inside(module, f"{package}") and inside(target, package):
            here, there = (".".join(m.split(".")[:depth]) for m in (module, target))
            if here != there and package not in (here, there):
                below.setdefault(here, set()).add(there)
    assert len(list(TopologicalSorter(below).static_order())) > 2


@pytest.mark.parametrize("package", ISOLATED)
def test_lowest_layers_stand_alone(package: str) -> None:
    assert DECLARED[package.split(".")[1]] <= {"base", "puzzles"}


@pytest.mark.parametrize(("library", "owner"), ONLY_IN.items())
def test_one_owner_per_big_library(library: str, owner: str) -> None:
    bad = [(m, n) for m, n in IMPORTS if inside(n, library) and not inside(m, owner)]
    assert not bad, offending(f"only {owner} imports {library}", bad)


def test_data_needs_no_torch() -> None:
    bad = [(m, n) for m, n in IMPORTS if inside(m, "hrm_scale.data") and inside(n, "torch")]
    assert not bad, offending("hrm_scale.data hands out numpy arrays", bad)


def test_nothing_imports_tools_and_benchmarks() -> None:
    bad = [
        (m, n)
        for m, n in IMPORTS
        for top in ("tools", "benchmarks", "tests")
        if inside(n, top) and not inside(m, top)
    ]
    assert not bad, offending("tools, benchmarks and tests are leaves", bad)


def test_shards_build_on_data_only() -> None:
    allowed = ("shards", "hrm_scale.data", "hrm_scale.puzzles", "hrm_scale.base")
    bad = [
        (m, n)
        for m, n in IMPORTS
        if inside(m, "shards") and n.split(".")[0] in PACKAGES and not is_allowed(n, allowed)
    ]
    assert not bad, offending(f"shards may import only {', '.join(allowed)}", bad)
    bad = [(m, n) for m, n in IMPORTS if inside(n, "shards") and inside(m, "hrm_scale")]
    assert not bad, offending("a wheel has no `shards`: use hrm_scale.base.programs.load", bad)


def test_data_sets_are_looked_into_without_their_builders() -> None:
    bad = [
        (m, n)
        for m, n in IMPORTS
        if inside(m, "tools.shards")
        and (inside(n, "shards") or inside(n, "hrm_scale.base.programs"))
    ]
    assert not bad, offending("tools.shards shares code with builders in hrm_scale", bad)


def test_training_is_on_top() -> None:
    bad = [
        (m, n)
        for m, n in IMPORTS
        if inside(n, "hrm_scale.training")
        and m.count(".") > 1
        and not inside(m, "hrm_scale.training")
        and inside(m, "hrm_scale")
    ]
    assert not bad, offending("training composes the other packages, not the reverse", bad)


def test_files_are_read_in_one_sitting() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    long = {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > MAX_LINES}
    assert not long, f"files above {MAX_LINES} lines: {long}"


TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
KINDS = {"sudoku", "maze", "arc"}
KNOW_KINDS = ("hrm_scale/puzzles/", "shards/")
"""Only these may ask which kind a puzzle is; others ask `Puzzle`."""


def test_kinds_of_puzzles_have_one_home() -> None:
    found = []
    for path, tree in TREES.items():
        name = str(path.relative_to(ROOT))
        if name.startswith(KNOW_KINDS):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare | ast.MatchValue):
                texts = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
                if texts & KINDS:
                    found.append(f"{name}:{node.lineno}")
    assert not found, f"compares the kind of a puzzle: {found}"


def test_functions_fit_on_a_page() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION_LINES
    ]
    assert not long, f"functions above {MAX_FUNCTION_LINES} lines: {long}"


def test_folders_are_seen_at_a_glance() -> None:
    counts = Counter(path.parent for path in SOURCES)
    full = {str(f.relative_to(ROOT)): n for f, n in counts.items() if n > MAX_MODULES}
    assert not full, f"folders with more than {MAX_MODULES} modules: {full}"
    for top in ("shards", "tools"):
        entries = [p for p in (ROOT / top).iterdir() if p.name != "__pycache__"]
        assert len(entries) <= MAX_ENTRIES, f"{top} shows {sorted(p.name for p in entries)}"


def test_private_names_stay_in_their_module() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {alias.name}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]
    assert not found, f"imports a private name: {found}"


def test_modules_are_named_after_a_subject() -> None:
    bad = [
        p for p in SOURCES if p.stem in ("utils", "util", "helpers", "inspect", "common", "misc")
    ]
    assert not bad, bad


def project_files() -> list[Path]:
    """Tracked and not-ignored files; without git, everything outside hidden and output folders."""
    try:
        listed = subprocess.run(
            ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        # An empty answer: a folder inside some other repository that ignores it.
        if listed:
            return [ROOT / name for name in listed if (ROOT / name).is_file()]
    except (OSError, subprocess.CalledProcessError):
        pass
    tops = [*PACKAGES, "tests", "docs", "ds_configs"]
    nested = [path for top in tops for path in (ROOT / top).rglob("*") if path.is_file()]
    return [path for path in [*ROOT.iterdir(), *nested] if path.is_file()]


# Written in pieces so that this file does not contain what it looks for.
FORBIDDEN = {
    "a path of somebody's machine": r"(?<![\w.*])/(?:ho" r"me|Use" r"rs|ro" r"ot|wo" r"rk)/\w",
    "a host of a package registry": r"py" r"pi\.org|python" r"hosted\.org",
    "unfinished work": r"\b(?:TO" r"DO|FIX" r"ME)\b|\bXX" r"X\b|raise NotImpl" r"ementedError",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_files_say_nothing_they_should_not(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found = []
    for path in project_files():
        if path.suffix in (".png", ".gz", ".npy", ".tar", ".zst", ".pyc") or path.name == "LICENSE":
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert not found, f"{what}:\n" + "\n".join(found)


# --- packaging ------------------------------------------------------------------------------------


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def requirements(section: str, key: str) -> list[Requirement]:
    lines = setup_cfg()[section][key].splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


CORE = requirements("options", "install_requires")
EXTRAS = {
    key: requirements("options.extras_require", key)
    for key in setup_cfg()["options.extras_require"]
}


def test_every_folder_is_a_package() -> None:
    found = {module_name(path) for path in SOURCES if path.name == "__init__.py"}
    folders = {module_name(path.parent / "__init__.py") for path in SOURCES}
    assert found == folders, f"folders without __init__.py: {folders - found}"


def test_a_wheel_holds_everything_under_one_name(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    for path in project_files():
        if path.relative_to(ROOT).parts[0] not in ("tests", "docs"):
            (clone / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, clone / path.relative_to(ROOT))
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    ended = subprocess.run(
        [*build, "-w", str(tmp_path), str(clone)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    expected = [
        str(path.relative_to(ROOT)) if top == "hrm_scale" else f"hrm_scale/{path.relative_to(ROOT)}"
        for top in ("hrm_scale", "shards", "tools")
        for path in (ROOT / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    assert sorted(names) == sorted(expected)


def test_every_import_is_a_declared_requirement() -> None:
    declared = {canonicalize_name(r.name) for group in (CORE, *EXTRAS.values()) for r in group}
    distributions = metadata.packages_distributions()
    # Optional packages that are not on the registry; found at run time and never needed. `models`
    # is a clone of the published code that a parity check is given.
    known = {"flash_attn_interface", "models", *PACKAGES}
    missing = set()
    for module, name in IMPORTS:
        top = name.split(".")[0]
        if top in sys.stdlib_module_names or top in known:
            continue
        providers = {canonicalize_name(d) for d in distributions.get(top, [top])}
        if not {COMPANIONS.get(provider, provider) for provider in providers} & declared:
            missing.add((module, top))
    assert not missing, offending("not in setup.cfg", list(missing))


def test_every_core_requirement_is_imported() -> None:
    distributions = metadata.packages_distributions()
    used = {
        canonicalize_name(d) for _, n in IMPORTS for d in distributions.get(n.split(".")[0], [])
    }
    # Accelerate imports it by itself when an engine asks for ZeRO.
    used.add(canonicalize_name("deepspeed"))
    unused = {canonicalize_name(r.name) for r in CORE} - used
    assert not unused, f"in setup.cfg, but never imported: {unused}"


def test_constraints_pin_what_is_declared() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    pinned = {canonicalize_name(pin.name): str(pin.specifier) for pin in pins}
    assert len(pinned) == len(pins), "a package is pinned twice"
    assert all(spec.startswith("==") and "+" not in spec for spec in pinned.values())
    assert not [name for name in pinned if name.startswith(("nvidia", "cuda", "triton"))]
    for requirement in [*CORE, *EXTRAS["test"], *EXTRAS["dev"], *EXTRAS["servers"]]:
        version = pinned[canonicalize_name(requirement.name)].removeprefix("==")
        assert requirement.specifier.contains(version), f"{requirement} against {version}"


# --- start-up -------------------------------------------------------------------------------------

_HELP = """
import runpy, sys
sys.argv = [sys.argv[1], "--help"]
try:
    runpy.run_module(sys.argv[0], run_name="__main__")
except SystemExit as end:
    code = end.code or 0
heavy = {"torch", "accelerate", "deepspeed", "wandb"} & set(sys.modules)
assert not heavy, f"--help imports {sorted(heavy)}"
sys.exit(code)
"""


def run_measured(command: list[str]) -> tuple[int, str, float]:
    """Exit status, output, and CPU seconds: wall time would blame a program for its neighbours."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.stdout.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, output, usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize("entry", ENTRY_POINTS)
def test_help_is_quick_and_light(entry: str) -> None:
    best = float("inf")
    for _ in range(3):
        code, output, seconds = run_measured([sys.executable, "-c", _HELP, entry])
        assert code == 0, output
        assert len(output.splitlines()) >= 3, f"--help says almost nothing: {output!r}"
        best = min(best, seconds)
        if best < HELP_CPU_SECONDS:
            break
    assert best < HELP_CPU_SECONDS, f"{entry} --help took {best:.2f} s of CPU"


@pytest.mark.parametrize(
    "package", ["hrm_scale", "hrm_scale.base.errors", "hrm_scale.data", "shards"]
)
def test_importing_is_light(package: str) -> None:
    script = f"import sys, {package}; sys.exit('torch' in sys.modules)"
    code, output, _ = run_measured([sys.executable, "-c", script])
    assert code == 0, output or f"importing {package} imports torch"
