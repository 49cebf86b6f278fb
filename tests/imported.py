"""What a training process imports, some six seconds, for the server `tests.ranks` forks from."""

import importlib
import os

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
    "deepspeed",
    "pytest",
    "torch._dynamo",
    "torch._inductor.compile_fx",
    "torch.distributed.fsdp",
    "torch.onnx",
    "wandb",
):
    importlib.import_module(_name)
