"""What an inspection tells of a model."""

from __future__ import annotations

import json

import pytest
from tests.store.builders import a_model
from tests.store.inspecting import look, place, refusal

from sluicegate_store.errors import Reason


@pytest.mark.parametrize(
    ("settings", "want"),
    [
        ({"quant_method": "gptq"}, "GPTQ"),
        ({"quant_method": "awq"}, "AWQ"),
        ({"quant_method": "fp8"}, "FP8"),
        ({"quant_method": "compressed-tensors"}, "COMPRESSED_TENSORS"),
        ({"quant_method": "bitsandbytes"}, "BITSANDBYTES"),
        (None, "None"),
    ],
)
def test_the_quantization_is_the_configs(tmp_path, settings, want):
    place(tmp_path, a_model().config(quantization_config=settings))

    assert look(tmp_path).facts["quantization"] == want


@pytest.mark.parametrize(
    ("said", "in_config", "want"),
    [
        ({"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8"}}, None, "MODELOPT"),
        ({"quantization": {"quant_algo": "NVFP4"}}, {"quant_method": "fp8"}, "FP8"),
        ({"quantization": {"quant_algo": None, "kv_cache_quant_algo": "FP8"}}, None, "None"),
    ],
)
def test_the_quantization_is_modelopts_where_the_config_is_silent(tmp_path, said, in_config, want):
    model = a_model().config(quantization_config=in_config)
    place(tmp_path, model.put(hf_quant_config__json=json.dumps(said).encode()))

    assert look(tmp_path).facts["quantization"] == want


def test_a_quantization_of_modelopt_that_is_no_json_is_refused(tmp_path):
    place(tmp_path, a_model().put(hf_quant_config__json=b"{"))

    assert refusal(tmp_path).reason == Reason.CONFIG_INVALID


@pytest.mark.parametrize(
    ("settings", "want"),
    [
        ({"rope_scaling": {"rope_type": "linear", "factor": 4.0}}, 8192),
        ({"rope_scaling": {"type": "dynamic", "factor": 2}}, 4096),
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}, 4096),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, 2048),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, 2048),
        ({"rope_scaling": {"rope_type": "linear", "factor": 8.0}, "model_type": "gemma3"}, 2048),
        ({"rope_scaling": {"rope_type": "linear", "factor": float("inf")}}, 2048),
        ({"rope_scaling": {"rope_type": "linear", "factor": None}}, 2048),
        ({"rope_scaling": "linear"}, 2048),
        ({"rope_scaling": None}, 2048),
    ],
    ids=str,
)
def test_the_context_is_as_long_as_the_rope_is_stretched(tmp_path, settings, want):
    place(tmp_path, a_model().config(**settings))

    assert look(tmp_path).facts["contextLength"] == want


def test_facts_of_a_nested_or_silent_config(tmp_path):
    nested = {"architectures": ["X"], "text_config": {"vocab_size": 7, "torch_dtype": "float16"}}
    folder = place(tmp_path, a_model().put(config__json=json.dumps(nested).encode()))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()

    facts = look(tmp_path).facts

    assert (facts["vocabularySize"], facts["dtype"]) == (7, "float16")
    assert (facts["contextLength"], facts["attentionHeads"], facts["tokenizerDigest"]) == (None, None, None)


def test_without_a_dtype_in_the_config_that_of_most_values_counts(tmp_path):
    place(tmp_path, a_model().config(dtype=None))

    assert look(tmp_path).facts["dtype"] == "bfloat16"


def test_the_tokenizers_digest_follows_the_tokenizer_and_not_the_weights(tmp_path):
    a_model(1).write(tmp_path / "claim" / "one")
    a_model(2).write(tmp_path / "claim" / "two")
    a_model(1).put(tokenizer__json=b"other").write(tmp_path / "claim" / "three")

    one, two, three = (
        look(tmp_path, f"pvc://claim/{n}").facts["tokenizerDigest"] for n in ("one", "two", "three")
    )
    assert one == two != three
