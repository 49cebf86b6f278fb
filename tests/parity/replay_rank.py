"""One rank of a replayed case: ``torchrun … -m tests.parity.replay_rank CASE.json OUT_DIR``."""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import save_file

from hrm_scale.engine import PlainEngine
from tests.parity.golden import load_case
from tests.parity.replay import replay


def main() -> None:
    case, out = load_case(Path(sys.argv[1])), Path(sys.argv[2])
    engine = PlainEngine("cpu")
    measured = replay(case, engine)
    save_file(
        {name: t.contiguous() for name, t in measured.items()}, out / f"{engine.rank}.safetensors"
    )
    engine.close()


if __name__ == "__main__":
    main()
