"""The training step on a CUDA device: the CPU's numbers, no waiting, backends that agree."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.tiny.models import random_batch, tiny_config
from hrm_scale.engine import PlainEngine
from hrm_scale.models import ActModel, Carry, Draws, ModelConfig, build_model
from hrm_scale.models.attention import attend, resolve_backend
from hrm_scale.optim.adam_atan2 import AdamATan2, make_adam_atan2
from hrm_scale.optim.adam_atan2 import resolve_backend as resolve_adam
from hrm_scale.optim.puzzle_table import DeviceTable
from hrm_scale.training.performance import peak_memory_bytes
from hrm_scale.training.step import StepResult, StepSettings, exploration_draws, train_step

pytestmark = pytest.mark.gpu

ROWS = 16
SETTINGS = StepSettings(1e-3, 1e-2, 0.1, ROWS, "stablemax_cross_entropy")
# Heads of width 64 and sequences of 82 positions, as fused kernels meet them.
CONFIG = tiny_config(
    seq_len=81,
    vocab_size=11,
    hidden_size=128,
    num_heads=2,
    puzzle_emb_ndim=128,
    halt_max_steps=3,
)


class Setting:
    """A model in training on one device; equal seeds give equal weights on every device."""

    def __init__(self, config: ModelConfig, device: str) -> None:
        self.device = torch.device(device)
        torch.manual_seed(0)
        self.model: ActModel = build_model(config).to(self.device).train()
        self.engine = PlainEngine(device)
        parameters = self.model.parameters()
        self.engine.prepare(self.model, make_adam_atan2(parameters, self.device, (0.9, 0.95), 0.1))
        self.table = DeviceTable(3, config.puzzle_emb_ndim, self.device)
        self.carry: Carry | None = None
        # Everything a step needs is on the device before it starts.
        self.batches = [self.put(random_batch(config, ROWS, seed=k)) for k in range(6)]
        drawn = [exploration_draws(0, k, ROWS, config.halt_max_steps) for k in range(6)]
        self.draws = [
            Draws(*(torch.from_numpy(values).to(self.device) for values in pair)) for pair in drawn
        ]
        self.gradients: dict[str, Tensor] = {}

    def put(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.to(self.device) for name, value in values.items()}

    def look(self, result: StepResult) -> None:
        self.gradients = {
            name: parameter.grad.detach().float().cpu().clone()
            for name, parameter in self.model.named_parameters()
            if parameter.grad is not None
        }

    def step(self, number: int, look: bool = False) -> StepResult:
        batch = self.batches[number % len(self.batches)]
        carry = self.model.initial_carry(batch) if self.carry is None else self.carry
        result = train_step(
            self.engine,
            self.table,
            [carry],
            [batch],
            [self.draws[number % len(self.draws)]],
            SETTINGS,
            before_update=self.look if look else None,
        )
        (self.carry,) = result.carries
        return result


def cosine(one: Tensor, other: Tensor) -> float:
    one, other = one.double().flatten(), other.double().flatten()
    return float(one @ other / (one.norm() * other.norm()).clamp(min=1e-30))


@pytest.mark.parametrize(
    ("dtype", "loss", "alike"), [(torch.float32, 1e-3, 0.999), (torch.bfloat16, 5e-2, 0.95)]
)
def test_a_step_on_the_gpu_is_the_cpus_step(dtype: torch.dtype, loss: float, alike: float) -> None:
    cpu = Setting(CONFIG, "cpu")
    gpu = Setting(replace(CONFIG, forward_dtype=dtype), "cuda")
    ours, theirs = gpu.step(0, look=True), cpu.step(0, look=True)
    assert float(ours.micro[0].loss) == pytest.approx(float(theirs.micro[0].loss), rel=loss)
    assert set(gpu.gradients) == set(cpu.gradients)
    for name, gradient in cpu.gradients.items():
        if float(gradient.norm()) > 1e-6:
            assert cosine(gpu.gradients[name], gradient) > alike, name


def test_a_step_never_waits_for_the_gpu() -> None:
    setting = Setting(replace(CONFIG, forward_dtype=torch.bfloat16), "cuda")
    for number in range(3):
        setting.step(number)
    torch.cuda.synchronize()
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for number in range(3, 6):
            setting.step(number)
    finally:
        torch.cuda.set_sync_debug_mode(mode)
    torch.cuda.synchronize()


def attention_inputs(dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 82, 4, 64, generator=generator).to("cuda", dtype) for _ in range(3)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 3e-2)])
def test_sdpa_agrees_with_plain_products(dtype: torch.dtype, tolerance: float) -> None:
    exact = attend(*(x.double().float() for x in attention_inputs(dtype)), "math")
    fused = attend(*attention_inputs(dtype), "sdpa")
    assert float((fused.float() - exact).abs().max()) < tolerance


@pytest.mark.parametrize(
    ("backend", "package"), [("flash2", "flash_attn"), ("flash3", "flash_attn_interface")]
)
def test_flash_attention_agrees_with_sdpa(backend: str, package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    try:
        resolve_backend(backend, torch.device("cuda"), torch.bfloat16)
    except ValueError as error:
        pytest.skip(str(error))
    inputs = attention_inputs(torch.bfloat16)
    difference = attend(*inputs, backend).float() - attend(*inputs, "sdpa").float()
    assert float(difference.abs().max()) < 3e-2


def test_a_compiled_step_is_the_eager_one() -> None:
    config = replace(CONFIG, forward_dtype=torch.bfloat16)
    eager = Setting(config, "cuda")
    compiled = Setting(replace(config, compile=True), "cuda")
    one, other = eager.step(0, look=True), compiled.step(0, look=True)
    assert float(other.micro[0].loss) == pytest.approx(float(one.micro[0].loss), rel=3e-2)
    for name, gradient in eager.gradients.items():
        if float(gradient.norm()) > 1e-6:
            assert cosine(compiled.gradients[name], gradient) > 0.95, name


def test_the_optimizer_on_the_gpu_takes_the_cpus_steps() -> None:
    backend, why = resolve_adam(torch.device("cuda"))
    assert backend in ("torch", "cuda-extension"), why
    start, generator = torch.linspace(-1, 1, 64), torch.Generator().manual_seed(0)
    grads = [torch.randn(64, generator=generator) for _ in range(5)]
    results = []
    for device in ("cpu", "cuda"):
        parameter = torch.nn.Parameter(start.to(device, copy=True))
        optimizer = (
            AdamATan2([parameter], lr=0.0, betas=(0.9, 0.95), weight_decay=0.1)
            if device == "cpu"
            else make_adam_atan2([parameter], torch.device(device), (0.9, 0.95), 0.1)
        )
        for grad in grads:
            parameter.grad = grad.to(device)
            optimizer.param_groups[0]["lr"] = 1e-2
            optimizer.step()
        results.append(parameter.detach().cpu().numpy())
    np.testing.assert_allclose(*results, atol=1e-5)


def test_memory_is_the_allocators_peak() -> None:
    device = torch.device("cuda")
    before = peak_memory_bytes(device)
    block = torch.empty(before + (64 << 20), dtype=torch.uint8, device=device)
    assert peak_memory_bytes(device) >= block.numel()
