#!/usr/bin/env bash
# One door for people: makes the Python environment when it is needed, then runs a command in it.
# Needs bash and Python >= 3.11, nothing else. `./launch.sh help` lists commands and settings.
set -euo pipefail

EXIT_USAGE=2
EXIT_ENVIRONMENT=5
COMMANDS="demo test train eval predict play slurm exec doctor env help"
PYTORCH_CPU_INDEX="https://download.pytorch.org/whl/cpu"
# Older releases download the whole wheel (gigabytes, for CUDA) just to answer a dry run.
PIP_WITH_METADATA_ONLY_DRY_RUN="23.3"
IMPORTED="torch, torch._inductor.compile_fx, accelerate, hydra, pydantic, safetensors.torch, wandb, webdataset"

# A CDPATH of the user's would make `cd` print the folder it found.
unset CDPATH
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
STARTED_AT=${EPOCHREALTIME:-$(date +%s)}
STARTED_AT=${STARTED_AT/,/.}
VENV=${HRM_SCALE_VENV:-$ROOT/.venv}
case $VENV in /*) ;; *) VENV=$PWD/$VENV ;; esac
PYTHON=$VENV/bin/python
LOG=$VENV/install.log
STAMP=$VENV/hrm_scale.stamp
OWNED=$VENV/hrm_scale.environment

say() { printf 'launch: %s\n' "$*" >&2; }

fail() { # EXIT_CODE MESSAGE
  say "$2"
  exit "$1"
}

usage() {
  cat <<'TEXT'
usage: ./launch.sh COMMAND [ARGUMENT ...]

  demo           train a small model on generated Sudokus, then solve some it has never seen
  test           run the quick tests, --all: every test; arguments go to pytest (-k NAME, a path ...)
  train ...      train on this machine, one process per GPU: KEY=VALUE arguments (train --help);
                 --config_file ds_configs/X.yaml first: with that Accelerate configuration
  eval ...       evaluate a checkpoint: KEY=VALUE arguments (eval --help)
  predict ...    solve puzzles with a checkpoint (predict --help)
  play ...       a page to type or draw puzzles on and watch the model (play --help)
  slurm ...      write a batch script for a SLURM cluster, --submit it (slurm --help)
  exec CMD ...   run any command inside the environment
  doctor         say what this machine has and what a run would use (--json)
  env            only make the environment
  help           this text

Each command makes the environment when it is missing or out of date, and reuses it otherwise.

settings (environment variables):
  HRM_SCALE_VENV         folder of the environment                       default: .venv beside launch.sh
  HRM_SCALE_PYTHON       interpreter to make it with                     default: the first >= 3.11 found
  HRM_SCALE_EXTRAS       extras of setup.cfg, with commas                default: test
  HRM_SCALE_TORCH_INDEX  package index for torch                         default: CPU build without an NVIDIA GPU
  HRM_SCALE_PROCESSES    processes of `train` on this machine            default: its GPUs, else 1
TEXT
}

# --- what is here ---------------------------------------------------------------------------------

python_version() { # prints X.Y.Z, or nothing when the interpreter does not run
  "$1" -ISc 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null || true
}

is_new_enough() { # X.Y.Z
  case $1 in
    3.*)
      local minor=${1#3.}
      [ "${minor%%.*}" -ge 11 ]
      ;;
    *) return 1 ;;
  esac
}

find_python() { # sets BASE_PYTHON and BASE_VERSION
  local candidate seen=""
  # `python3` first: on a machine with several it is the one its owner chose.
  for candidate in ${HRM_SCALE_PYTHON:+"$HRM_SCALE_PYTHON"} python3 python3.13 python3.12 python3.11; do
    BASE_VERSION=$(python_version "$candidate")
    if [ -n "$BASE_VERSION" ] && is_new_enough "$BASE_VERSION"; then
      BASE_PYTHON=$candidate
      return
    fi
    [ -z "$BASE_VERSION" ] || seen="$seen $candidate=$BASE_VERSION"
    if [ "$candidate" = "${HRM_SCALE_PYTHON:-}" ]; then
      fail $EXIT_ENVIRONMENT "HRM_SCALE_PYTHON=$candidate is not a Python >= 3.11 (found: ${BASE_VERSION:-nothing that runs}): name another, or unset it"
    fi
  done
  fail $EXIT_ENVIRONMENT "no Python >= 3.11 found (seen:${seen:- none}): install one, or name it with HRM_SCALE_PYTHON=/path/to/python3"
}

gpu_count() { # NVIDIA GPUs this shell may use
  case ${CUDA_VISIBLE_DEVICES-all} in
    '' | -1) echo 0 ;;
    # Without a working driver nvidia-smi may be there, but it lists nothing.
    *) { nvidia-smi -L 2>/dev/null || true; } | grep -c '^GPU ' || true ;;
  esac
}

pinned_torch() { sed -n 's/^torch==/torch==/p' "$ROOT/constraints.txt"; }

stamp_value() { sed -n "s/^$1=//p" "$STAMP" 2>/dev/null || true; }

# The files that decide what gets installed, and where the project lies.
inputs_sum() {
  {
    cat "$ROOT/setup.cfg" "$ROOT/setup.py" "$ROOT/pyproject.toml" "$ROOT/constraints.txt"
    printf '%s\n' "$ROOT"
  } | cksum | tr ' ' '-'
}

has_all() { # HAVE WANTED, both comma lists
  local extra
  for extra in ${2//,/ }; do
    case ",$1," in *",$extra,"*) ;; *) return 1 ;; esac
  done
}

# Sets STALE to the reason why the environment cannot be used as it is; empty when it can.
check_environment() {
  STALE=""
  if [ ! -e "$STAMP" ]; then
    if [ -e "$OWNED" ]; then STALE="was left half made"; else STALE="is not there yet"; fi
  elif [ "$(stamp_value inputs)" != "$(inputs_sum)" ]; then
    STALE="was made for other requirements"
  elif [ "$(stamp_value python)" != "$(python_version "$PYTHON")" ]; then
    STALE="belongs to another Python"
  elif [ -n "${HRM_SCALE_PYTHON:-}" ] &&
    [ "$(stamp_value python)" != "$(python_version "$HRM_SCALE_PYTHON")" ]; then
    STALE="is not of HRM_SCALE_PYTHON=$HRM_SCALE_PYTHON"
  elif [ -n "${HRM_SCALE_TORCH_INDEX:-}" ] && [ "$(stamp_value torch)" != "$HRM_SCALE_TORCH_INDEX" ]; then
    STALE="has torch from elsewhere than HRM_SCALE_TORCH_INDEX"
  elif ! has_all "$(stamp_value extras)" "$EXTRAS"; then
    STALE="lacks some of the extras $EXTRAS"
  elif [ "$(stamp_value torch)" = "cpu" ] && [ "$(gpu_count)" -gt 0 ]; then
    STALE="has a CPU build of torch, and there is a GPU now"
  fi
}

# --- making the environment -----------------------------------------------------------------------

last_step() { awk '/^--- / { text = "" } { text = text $0 "\n" } END { printf "%s", text }' "$LOG"; }

explain_log() { # the likely cause, from what the last step wrote
  local cause="see the lines above, and the whole log" text
  text=$(last_step)
  if grep -qi 'no space left\|disk quota' <<<"$text"; then
    cause="the disk is full: free some space, or put the environment elsewhere with HRM_SCALE_VENV"
  elif grep -qi 'ensurepip' <<<"$text"; then
    cause="this Python has no venv module: install it (Debian and Ubuntu: apt-get install python3-venv)"
  elif grep -qi 'CERTIFICATE_VERIFY_FAILED' <<<"$text"; then
    cause="the package index's certificate is not trusted: name yours with PIP_CERT=/path/to/ca.pem"
  elif grep -qi 'NewConnectionError\|name resolution\|unreachable\|timed out\|ProxyError\|Connection refused' <<<"$text"; then
    cause="the package index cannot be reached: check network and proxy, or point PIP_INDEX_URL at a mirror"
  elif grep -qi 'no matching distribution' <<<"$text"; then
    cause="a pinned package has no build for Python $BASE_VERSION: try another with HRM_SCALE_PYTHON"
  elif grep -qi 'CUDA_HOME\|nvcc' <<<"$text"; then
    cause="an extra needs the CUDA compiler: leave 'cuda' out of HRM_SCALE_EXTRAS (it is never required)"
  elif grep -qi 'ImportError\|ModuleNotFoundError\|OSError: lib' <<<"$text"; then
    cause="a package was built for another system, or a system library is missing"
  elif grep -qi 'permission denied' <<<"$text"; then
    cause="a folder is not writable: put the environment elsewhere with HRM_SCALE_VENV"
  fi
  say "likely cause: $cause"
}

logged() { # WHAT CMD...: runs it into the log; on failure says why and ends
  local what=$1
  shift
  printf '\n--- %s\n' "$*" >>"$LOG"
  if ! "$@" >>"$LOG" 2>&1; then
    say "could not $what. Last lines of $LOG:"
    last_step | grep -v '^WARNING: Location\|^$' | tail -n 12 | sed 's/^/  /' >&2
    explain_log
    exit $EXIT_ENVIRONMENT
  fi
}

# A person's pip settings may ask for user or prefix installs, which do not work inside a venv.
# pip would compile all files, ten times as many as are ever imported.
pip_install() { PIP_USER=0 "$PYTHON" -I -m pip install --no-compile --progress-bar off "$@"; }

upgrade_old_pip() {
  if ! "$PYTHON" -I - "$PIP_WITH_METADATA_ONLY_DRY_RUN" <<'PY'
import importlib.metadata
import sys


def number(text):
    return tuple(int(part) for part in text.split(".")[:2])


sys.exit(number(importlib.metadata.version("pip")) < number(sys.argv[1]))
PY
  then
    # Not fatal: with the old one the question below is answered too, only slower.
    pip_install --upgrade "pip>=$PIP_WITH_METADATA_ONLY_DRY_RUN" >>"$LOG" 2>&1 || true
  fi
}

default_torch_wants_cuda() { # TORCH_PIN; asks pip what it would install, without downloading it
  local report=$VENV/torch-report.json
  pip_install --dry-run --ignore-installed --no-deps --report "$report" "$1" >>"$LOG" 2>&1 || return 1
  "$PYTHON" -I - "$report" <<'PY'
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    torch = json.load(file)["install"][0]["metadata"]
needs = [line.lower() for line in torch.get("requires_dist", []) if "extra ==" not in line]
sys.exit(not any(line.startswith(("nvidia-", "cuda-")) for line in needs))
PY
}

install_torch() { # sets TORCH to what was chosen: default, cpu, or the index's address
  local pin
  pin=$(pinned_torch)
  if [ -n "${HRM_SCALE_TORCH_INDEX:-}" ]; then
    TORCH=$HRM_SCALE_TORCH_INDEX
    say "installing $pin from $HRM_SCALE_TORCH_INDEX ..."
    logged "install torch" pip_install --index-url "$HRM_SCALE_TORCH_INDEX" -c "$ROOT/constraints.txt" "$pin"
    return
  fi
  TORCH=default
  if [ "$(gpu_count)" -gt 0 ]; then
    say "installing $pin for the NVIDIA GPU (some gigabytes) ..."
  elif [ "$(uname -s)" != Linux ]; then
    say "installing $pin ..."
  else
    TORCH=cpu
    upgrade_old_pip
    if default_torch_wants_cuda "$pin"; then
      say "installing $pin, CPU build (no NVIDIA GPU here) from $PYTORCH_CPU_INDEX ..."
      printf '\n--- torch from %s\n' "$PYTORCH_CPU_INDEX" >>"$LOG"
      if pip_install --retries 1 --timeout 20 --index-url "$PYTORCH_CPU_INDEX" "$pin" >>"$LOG" 2>&1; then
        return
      fi
      TORCH=default
      say "could not get it there (see $LOG); taking the default build, with gigabytes of CUDA packages."
      say "  a mirror of the CPU build can be named with HRM_SCALE_TORCH_INDEX"
    else
      say "installing $pin (no NVIDIA GPU here) ..."
    fi
  fi
  logged "install torch" pip_install -c "$ROOT/constraints.txt" "$pin"
}

install_project() {
  local plain
  plain=$(printf '%s\n' "$EXTRAS" | tr ',' '\n' | sed '/^cuda$/d' | paste -sd, -)
  cd "$ROOT"
  logged "install hrm_scale" pip_install -c constraints.txt -e ".[$plain]"
  if has_all "$EXTRAS" cuda; then
    # These compile against the torch that is installed, which an isolated build would not see.
    say "compiling the cuda extra (can take half an hour) ..."
    logged "install the cuda extra" pip_install -c constraints.txt --no-build-isolation -e ".[cuda]"
  fi
  cd "$OLDPWD"
}

make_environment() {
  local begun=$SECONDS entry
  find_python
  say "making the environment in $VENV (Python $BASE_VERSION): it $STALE"
  # Keep the lock file: others may be waiting on it. Everything else is made anew.
  for entry in "$VENV"/* "$VENV"/.[!.]*; do
    case $entry in
      "$OWNED" | "$VENV/.lock") ;;
      *) rm -rf "$entry" ;;
    esac
  done
  : >"$LOG"
  logged "make a virtual environment" "$BASE_PYTHON" -m venv "$VENV"
  install_torch
  say "installing hrm_scale and its packages (extras: $EXTRAS) ..."
  install_project
  # A proof that it works; and Python compiles now what it would otherwise compile at first use.
  logged "import what was installed" "$PYTHON" -I -c "import $IMPORTED"
  # The stamp comes last: an environment without one was interrupted and is made again.
  printf 'inputs=%s\npython=%s\nextras=%s\ntorch=%s\n' \
    "$(inputs_sum)" "$(python_version "$PYTHON")" "$EXTRAS" "$TORCH" >"$STAMP.new"
  mv "$STAMP.new" "$STAMP"
  say "environment ready after $((SECONDS - begun)) s"
}

read_extras() { # sets EXTRAS; pip only warns about names it does not know
  local known
  EXTRAS=${HRM_SCALE_EXTRAS:-test}
  EXTRAS=${EXTRAS// /}
  known=$(sed -n '/^\[options.extras_require\]/,$ s/^\([a-z0-9]*\) =$/\1/p' "$ROOT/setup.cfg" | paste -sd, -)
  has_all "$known" "$EXTRAS" ||
    fail $EXIT_USAGE "HRM_SCALE_EXTRAS='$EXTRAS' names an extra that does not exist: choose from ${known//,/, }"
}

ensure_environment() {
  local reason
  read_extras
  check_environment
  reason=$STALE
  if [ -n "$STALE" ]; then
    if [ -e "$VENV" ] && [ ! -e "$OWNED" ] && [ -n "$(ls -A "$VENV" 2>/dev/null || echo not-a-folder)" ]; then
      fail $EXIT_ENVIRONMENT "$VENV is there but was not made by launch.sh: remove it, or name another place with HRM_SCALE_VENV"
    fi
    if ! mkdir -p "$VENV" 2>/dev/null || ! touch "$OWNED" 2>/dev/null; then
      fail $EXIT_ENVIRONMENT "cannot write to $VENV: name another place with HRM_SCALE_VENV"
    fi
    exec 9>"$VENV/.lock"
    if command -v flock >/dev/null 2>&1 && ! flock -n 9; then
      say "another shell is making the environment in $VENV: waiting for it ..."
      flock 9 || true
    fi
    check_environment
    if [ -n "$STALE" ]; then
      STALE=$reason
      # Extras somebody asked for earlier stay.
      EXTRAS=$(printf '%s\n' "$EXTRAS" "$(stamp_value extras)" | tr ',' '\n' | sed '/^$/d' | sort -u | paste -sd, -)
      make_environment
    fi
    exec 9>&-
  fi
  unset PYTHONHOME
  export VIRTUAL_ENV=$VENV PATH=$VENV/bin:$PATH HRM_SCALE_STARTED_AT=$STARTED_AT
}

# --- commands -------------------------------------------------------------------------------------

train() {
  case ${HRM_SCALE_PROCESSES-1} in
    '' | *[!0-9]* | 0) fail $EXIT_USAGE "HRM_SCALE_PROCESSES='$HRM_SCALE_PROCESSES' is not a number of processes: give 1 or more" ;;
  esac
  case ${1:-} in
    --config_file | --config_file=*) train_with_accelerate "$@" ;;
  esac
  # The GPUs of nvidia-smi are known at once; torch would need seconds to count them.
  if [ -z "${HRM_SCALE_PROCESSES:-}" ] && [ "$(gpu_count)" -gt 0 ]; then
    export HRM_SCALE_PROCESSES
    HRM_SCALE_PROCESSES=$(gpu_count)
  fi
  set -- python -m hrm_scale.launch "$@"
  say "running: $* (processes: ${HRM_SCALE_PROCESSES:-1})"
  exec "$@"
}

train_with_accelerate() { # --config_file FILE [ACCELERATE OPTION ...] KEY=VALUE ...
  local file options=()
  case $1 in
    --config_file=*) file=${1#*=} && shift ;;
    *)
      [ $# -ge 2 ] || fail $EXIT_USAGE "--config_file needs a file, such as ds_configs/laptop_16gb.yaml"
      file=$2 && shift 2
      ;;
  esac
  [ -f "$file" ] || fail $EXIT_USAGE "--config_file: no file '$file'; there are: $(cd "$ROOT" && echo ds_configs/*.yaml)"
  # What comes before the first KEY=VALUE is for accelerate: --machine_rank 1, --main_process_ip ...
  while [ $# -gt 0 ]; do
    case $1 in
      -*) options+=("$1") ;;
      *=*) break ;;
      *) options+=("$1") ;;
    esac
    shift
  done
  set -- python -m accelerate.commands.launch --config_file "$file" ${options[@]+"${options[@]}"} \
    -m hrm_scale.train "$@"
  say "running: $*"
  exec "$@"
}

run_tests() { # one worker per core, each with one thread
  cd "$ROOT"
  OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} exec python -m pytest -n auto --dist loadfile --no-loadscope-reorder "$@"
}

main() {
  local command=${1:-help} known close=""
  [ $# -eq 0 ] || shift
  case $command in
    help | -h | --help)
      usage
      exit 0
      ;;
    demo | test | train | eval | predict | play | slurm | exec | doctor | env) ;;
    *)
      for known in $COMMANDS; do
        case $known in "${command:0:2}"*) close=" Did you mean '$known'?" ;; esac
      done
      fail $EXIT_USAGE "unknown command '$command'.$close Commands: ${COMMANDS// /, }"
      ;;
  esac
  if [ "$command" = exec ] && [ $# -eq 0 ]; then
    fail $EXIT_USAGE "exec needs a command to run: ./launch.sh exec python -m hrm_scale.train --help"
  fi
  ensure_environment
  case $command in
    demo) exec python -m hrm_scale.demo "$@" ;;
    test) run_tests "$@" ;;
    train) train "$@" ;;
    eval) exec python -m hrm_scale.evaluate "$@" ;;
    predict) exec python -m hrm_scale.predict "$@" ;;
    play) exec python -m hrm_scale.play "$@" ;;
    slurm) exec python -m tools.slurm "$@" ;;
    exec)
      command -v "$1" >/dev/null 2>&1 || fail $EXIT_USAGE "exec: no command '$1' in the environment or on the PATH"
      exec "$@"
      ;;
    doctor) exec python -m hrm_scale.doctor "$@" ;;
    env) say "environment in $VENV" ;;
  esac
}

trap 'say interrupted; exit 130' INT
trap 'exit 143' TERM
main "$@"
