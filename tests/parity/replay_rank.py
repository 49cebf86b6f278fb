"""One rank of a replayed case: ``… -m tests.parity.replay_rank CASE.json DEEPSPEED OUT_DIR``."""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import save_file

from hrm_scale.engine import open_engine
from tests.parity.golden import load_case
from tests.parity.replay import replay


def main() -> None:
    case, deepspeed, out = load_case(Path(sys.argv[1])), sys.argv[2], Path(sys.argv[3])
    engine = open_engine(
        device="cpu",
        deepspeed=deepspeed,
        global_batch_size=case.meta["config"]["global_batch_size"],
        accumulation=1,
        bf16_forward=False,
    )
    measured = replay(case, engine)
    save_file(
        {name: t.contiguous() for name, t in measured.items()}, out / f"{engine.rank}.safetensors"
    )
    engine.close()


if __name__ == "__main__":
    main()
