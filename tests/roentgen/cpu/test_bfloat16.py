import pytest
import torch
from torch.nn import functional
from torch.profiler import profile

from roentgen.cpu.bfloat16 import computes_bfloat16, float32_attention


def test_attention_is_that_of_float32_rounded_once() -> None:
    states = torch.randn(3, 2, 4, 20, 16, generator=torch.Generator().manual_seed(0))
    query, key, value = states.bfloat16().requires_grad_()
    expected = functional.scaled_dot_product_attention(query.float(), key.float(), value.float())
    with torch.autocast("cpu", torch.bfloat16), float32_attention(), profile() as seen:
        found = functional.scaled_dot_product_attention(query, key, value)
        found.sum().backward()  # type: ignore[no-untyped-call]
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, expected.bfloat16())
    ran = {str(event.key) for event in seen.key_averages()}
    assert "aten::_scaled_dot_product_flash_attention_for_cpu_backward" in ran
    assert functional.scaled_dot_product_attention(query, key, value).dtype == torch.bfloat16


def test_a_cpu_computes_bfloat16_if_it_has_the_instructions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for has in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda has=has: has)
        assert computes_bfloat16(torch.device("cpu")) is has
    assert not computes_bfloat16(torch.device("mps"))
