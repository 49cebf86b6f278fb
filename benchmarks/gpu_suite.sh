#!/usr/bin/env bash
# Everything that only a CUDA machine can show, in one command of under nine minutes:
#   ./launch.sh exec benchmarks/gpu_suite.sh [OUTPUT_DIR]
# GPU tests, speed of the training step, cost of a checkpoint, planned against measured memory, and some minutes of real
# Sudoku training with its curve. One log per part and a summary go to OUTPUT_DIR.
#
# Settings (environment variables):
#   PYTHON              interpreter                                      default: python
#   SUDOKU_DATA         a data set that is built already                 default: built here
#   SUDOKU_CSV          Sudoku-Extreme's CSV files, to build from        default: generated puzzles
#   TRAIN_SECONDS       length of the training part                      default: 100
set -uo pipefail

PYTHON=${PYTHON:-python}
TRAIN_SECONDS=${TRAIN_SECONDS:-100}
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
OUT=${1:-$ROOT/runs/gpu-suite}
FAILED=0

if ! "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
  echo "gpu_suite: $PYTHON sees no CUDA device: run it on a machine with one, as ./launch.sh exec benchmarks/gpu_suite.sh" >&2
  exit 5
fi
mkdir -p "$OUT" || exit 5
OUT=$(cd "$OUT" && pwd -P)
cd "$ROOT" || exit 5
export PYTHONPATH=$ROOT${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 WANDB_MODE=${WANDB_MODE:-offline}
: >"$OUT/summary.txt"

note() { echo "gpu_suite: $*" | tee -a "$OUT/summary.txt"; }

part() { # NAME SECONDS CMD...: within its time, into its own log
  local name=$1 limit=$2 begun=$SECONDS status=0 how
  shift 2
  echo "gpu_suite: $name: $*"
  timeout --kill-after=10 "$limit" "$@" >"$OUT/$name.log" 2>&1 </dev/null || status=$?
  case $status in
    0) how=passed ;;
    124 | 137) how="cut off after $limit s" FAILED=1 ;;
    *) how="FAILED (exit $status)" FAILED=1 ;;
  esac
  tail -n 25 "$OUT/$name.log" | sed 's/^/    /'
  note "$name: $how, $((SECONDS - begun)) s"
}

exists() { [ -f "$ROOT/${1//.//}.py" ]; }

part doctor 20 "$PYTHON" -m hrm_scale.doctor

if grep -rqs 'mark\.gpu' tests; then
  part tests 120 "$PYTHON" -m pytest -m gpu -q --no-showlocals -p no:cacheprovider tests
else
  note "tests: skipped, there are no gpu tests yet"
fi

# Sudoku and ARC shapes, with MFU.
if exists benchmarks.step; then
  part step 140 "$PYTHON" -m benchmarks.step --device cuda --configs sudoku27m trm_mlp arc27m \
    --variants eager compiled --steps 5 --output "$OUT/step.json"
else
  note "step: skipped, benchmarks/step.py does not exist yet"
fi

# What a checkpoint costs, at once and in the background.
part save 45 "$PYTHON" -m benchmarks.save --saves 3 --every 5 --batch 384 --output "$OUT/save.json"

if exists tools.plan; then
  part plan 60 "$PYTHON" -m tools.plan experiment=sudoku_best --measure
else
  note "plan: skipped, tools/plan.py does not exist yet"
fi

DATA=${SUDOKU_DATA:-}
if [ -z "$DATA" ] && exists shards.sudoku; then
  DATA=$OUT/data
  if [ -n "${SUDOKU_CSV:-}" ]; then
    set -- --source csv --input "$SUDOKU_CSV" --subsample-size 1000
  else
    set -- --source generate --size 9 --count 1000
  fi
  [ -e "$DATA" ] || part build 30 "$PYTHON" -m shards.sudoku --output-dir "$DATA" --num-aug 1000 "$@"
fi
if exists hrm_scale.train && [ -f "${DATA:-/nowhere}/dataset.json" ]; then
  part train $((TRAIN_SECONDS + 30)) "$PYTHON" -m hrm_scale.train experiment=sudoku_best \
    data_path="$DATA" checkpoint_path="$OUT/run" max_time="${TRAIN_SECONDS}s" resume=never log.console=line
  # The curve: the numbers themselves; they outlive every way of drawing them.
  cp "$OUT/run/metrics.jsonl" "$OUT/curve.jsonl" 2>/dev/null && note "curve: $OUT/curve.jsonl"
  "$PYTHON" -m tools.run plot "$OUT/run" --out "$OUT/curve.png" 2>&1 | tail -n 1
  # What evaluation gains over a loop like the published one's, on the checkpoint just trained.
  part evaluation 60 "$PYTHON" -m benchmarks.evaluation "$OUT/run" --limit 4000 --rounds 2 --device cuda \
    --output "$OUT/evaluation.json"
else
  note "train: skipped, no data set (SUDOKU_DATA) or no trainer"
fi

note "finished after $SECONDS s, results in $OUT"
exit $FAILED
