"""The memory-saving functions: exact gradients, and only matching modules are replaced."""

import copy
import shutil

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.nn import functional

from orpo.contract.hyperparameters import Precision
from orpo.contract.methods import parse_method
from orpo.layers import kernels
from orpo.layers.fused import compile_rows, fused
from orpo.layers.kernels import HeadLogps, LoraLinear, RmsNorm, SwiGlu
from orpo.model.adapter import with_lora
from orpo.model.policy import prepare, recompute_layers, token_logps, trainable
from orpo.tokens.pack import collate
from tests.orpo import tiny_models


def random(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use small slices, so that inputs have several slices and a remainder, like large inputs."""
    torch.manual_seed(0)
    monkeypatch.setattr("orpo.layers.fused.SLICE_BYTES", {"cpu": 4 * 5 * 3, "meta": 4 * 5 * 3})


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_rms_norm(offset: float):
    x, weight = random(2, 7, 5), random(5)
    assert gradcheck(lambda *given: RmsNorm.apply(*given, 1e-6, offset), (x, weight))
    expected = functional.rms_norm(x, (5,), weight + offset, 1e-6)
    assert torch.allclose(RmsNorm.apply(x, weight, 1e-6, offset), expected)


def test_gated_feed_forward():
    gate, up = random(2, 7, 5), random(2, 7, 5)
    assert gradcheck(SwiGlu.apply, (gate, up))
    assert torch.allclose(SwiGlu.apply(gate, up), functional.silu(gate) * up)


def test_log_probs_of_the_head():
    """The backward pass overwrites saved tensors, so gradcheck can't run it twice."""
    hidden, weight, target = random(7, 3), random(5, 3), torch.tensor([0, 4, 2, 2, 1, 0, 3])
    parts = torch.randn(7, dtype=torch.float64)
    plain = -functional.cross_entropy(hidden @ weight.T, target, reduction="none")
    expected = torch.autograd.grad(plain, (hidden, weight), parts)
    ours = HeadLogps.apply(hidden, weight, target)
    assert torch.allclose(ours, plain)
    for found, right in zip(
        torch.autograd.grad(ours, (hidden, weight), parts), expected, strict=True
    ):
        assert torch.allclose(found, right)


@pytest.mark.parametrize("bias", [True, False])
def test_an_adapted_layer(bias: bool):
    x, weight, a, b = random(7, 3), torch.randn(5, 3).double(), random(2, 3), random(5, 2)
    of_bias = torch.randn(5).double() if bias else None

    def ours(*given: Tensor) -> Tensor:
        x, a, b = given
        return LoraLinear.apply(x, weight, of_bias, a, b, 0.7)

    assert gradcheck(ours, (x, a, b))
    expected = functional.linear(x, weight, of_bias) + 0.7 * (x @ a.T) @ b.T
    assert torch.allclose(ours(x, a, b), expected)


def test_an_adapted_model_is_pefts_own(monkeypatch: pytest.MonkeyPatch):
    """Log-probs and gradients equal those of PEFT's own layers."""
    examples = tiny_models.examples(seed=5, n=3)
    method = parse_method("orpo", {"lora_rank": 4})
    found = []
    for install in (kernels.install_lora, lambda _: None):
        monkeypatch.setattr(kernels, "install_lora", install)
        model = prepare(tiny_models.llama())
        policy = with_lora(model, method, seed=0)
        torch.manual_seed(1)
        weights = trainable(policy)
        for weight in weights.values():
            weight.data.normal_(std=0.1)
        logps = token_logps(policy, collate(examples, prefix_sharing=True), Precision.FP32)
        found.append((logps.detach(), torch.autograd.grad(logps.sum(), list(weights.values()))))
    (ours, our_gradients), (theirs, their_gradients) = found
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(our_gradients, their_gradients, rtol=1e-4, atol=1e-4)


def test_a_sure_or_hopeless_token_has_a_finite_gradient():
    hidden = torch.tensor([[400.0, 0.0]], requires_grad=True)
    weight, target = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([1])
    logp = HeadLogps.apply(hidden, weight, target)
    assert logp.item() == -800
    logp.sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.tolist() == [[-2.0, 0.0]]


def test_half_precision_rounds_once():
    gate, up = (random(64, 16, dtype=torch.bfloat16) for _ in range(2))
    exact = functional.silu(gate.double()) * up.double()
    assert torch.equal(SwiGlu.apply(gate, up), exact.bfloat16())


def replaced(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if "forward" in vars(module)]


def test_what_is_replaced_and_undone():
    model = tiny_models.llama()
    kernels.install(model)
    layers = model.config.num_hidden_layers
    assert len(replaced(model)) == 3 * layers + 1  # with the last norm
    twin = copy.deepcopy(model)
    twin.model.norm.weight.data.zero_()
    assert twin.model.norm(torch.ones(1, model.config.hidden_size)).sum() == 0
    assert model.model.norm(torch.ones(1, model.config.hidden_size)).sum() != 0


class CenteredRMSNorm(nn.Module):
    """Named like an RMSNorm, but it computes something else."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(5)), 1e-6

    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, (5,), self.weight, eps=self.eps)


def test_what_only_looks_like_it_stays():
    model = nn.Sequential(CenteredRMSNorm())
    kernels.install(model)
    assert replaced(model) == []


# The arguments of each compiled function: results, then inputs of N rows and 5 columns and others.
def fused_calls(n: int) -> dict[str, tuple[list[Tensor], list[Tensor | float]]]:
    def made(*shape: int) -> Tensor:
        return torch.randn(*shape).bfloat16()

    one = torch.randn(n, 1)
    return {
        "normalise": ([made(n, 5), one.clone()], [made(n, 5), torch.randn(5), 1e-6]),
        "normalise_back": (
            [made(n, 5), torch.zeros(5)],
            [made(n, 5), one, torch.randn(5), made(n, 5)],
        ),
        "gate_up": ([made(n, 5)], [made(n, 5), made(n, 5)]),
        "gate_up_back": ([made(n, 5), made(n, 5)], [made(n, 5), made(n, 5), made(n, 5)]),
        "log_sum_exp": ([one.clone()], [made(n, 5)]),
        "softmax_back": ([made(n, 5)], [one + 5, one]),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", fused_calls(2))
def test_compiled_is_equal_and_serves_any_number_of_rows(name: str):
    """The same compiler as on a GPU; here it generates C instead of Triton."""
    if not shutil.which("gcc"):
        pytest.skip("there is no C compiler")
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    function = vars(kernels)[name].__wrapped__
    compiled = compile_rows(function)
    for n in (7, 4, 9):
        results, inputs = fused_calls(n)[name]
        ours = [tensor.clone() for tensor in results]
        function(*results, *inputs)
        compiled(*ours, *inputs)
        for mine, right in zip(ours, results, strict=True):
            torch.testing.assert_close(mine, right)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


@pytest.mark.slow
def test_a_model_through_what_is_compiled(monkeypatch: pytest.MonkeyPatch):
    """Check forward and backward passes, with recomputed layers."""
    if not shutil.which("gcc"):
        pytest.skip("there is no C compiler")
    model = prepare(tiny_models.llama())
    recompute_layers(model)
    weights = list(trainable(model).values())
    batches = [collate(tiny_models.examples(seed, seed), prefix_sharing=True) for seed in (3, 5)]

    def computed() -> list[Tensor]:
        logps = [token_logps(model, batch, Precision.FP32) for batch in batches]
        return [*logps, *torch.autograd.grad(torch.cat(logps).sum(), weights)]

    expected = computed()
    for name in fused_calls(2):
        monkeypatch.setattr(kernels, name, compile_rows(vars(kernels)[name].__wrapped__))
    for found, right in zip(computed(), expected, strict=True):
        torch.testing.assert_close(found, right, atol=1e-4, rtol=1e-4)


def test_what_cannot_be_compiled_runs_as_it_stands(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    calls: list[Tensor] = []

    def fails(*_: object) -> None:
        raise RuntimeError("no C compiler")

    monkeypatch.setattr("orpo.layers.fused.compile_rows", lambda _: fails)
    function = fused(calls.append)
    elsewhere = torch.empty(2, 2, device="meta")
    function(elsewhere)
    function(elsewhere)
    assert len(calls) == 2
    assert len(caplog.records) == 1
    assert "no C compiler" in caplog.text
