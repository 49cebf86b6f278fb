"""What a training process imports, which takes some six seconds.

`benchmarks.tiny.ranks` forks its processes from a server that has imported it.
"""

import contextlib
import importlib
import os
import sys

os.environ.setdefault("DS_ACCELERATOR", "cpu")
# Threads of its compiler would not survive a fork.
os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"

# Some of it is otherwise imported at the first step, by every process anew.
for _name in (
    "hrm_scale.training.build",
    "hrm_scale.engine.zero",
    "hrm_scale.config.compose",
    "hydra._internal.hydra",
    "antlr4",
    "cloudpickle",
    "deepspeed.module_inject.auto_ep_layer",
    "deepspeed.ops",
    "deepspeed.runtime.zero.muon.muon_optimizer",
    "numpy.ma",
    "pytest",
    "setuptools",
    "torch._dynamo",
    "torch._inductor.compile_fx",
    "torch.distributed.fsdp",
    "torch.onnx",
    "wandb",
):
    importlib.import_module(_name)

# Grammars that the first composed configuration builds, and which operations can be compiled
# here, which DeepSpeed asks the compiler at their first use. A test that needs them says what
# is wrong with them.
with contextlib.suppress(Exception):
    sys.modules["hrm_scale.config.compose"].compose([])
    sys.modules["deepspeed.ops"].__compatible_ops__  # noqa: B018
