"""`hf:FOLDER`: what is read, what it answers, and what is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import seatrial
from seatrial.exporters.host import HostSession
from seatrial_runner.bundle import Bundle
from seatrial_targets.errors import ModelError

transformers = pytest.importorskip("transformers", reason="needs the extra `huggingface`")
SMALL = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def bert(kind: str = "BertModel", **extra: Any) -> Any:
    torch.manual_seed(0)
    config = transformers.BertConfig(**SMALL, intermediate_size=32, max_position_embeddings=48, **extra)
    return getattr(transformers, kind)(config).eval()


def gpt2() -> Any:
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=60, n_positions=48, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    return transformers.GPT2LMHeadModel(config).eval()


def with_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[UNK]", "the", "a", "of", "to", "is", "and", "in", "object", "class", "for"]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]").save_pretrained(folder)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Any], Path]:
    """saved(model): the folder that save_pretrained wrote."""

    def made(model: Any, name: str = "tiny model") -> Path:
        model.save_pretrained(tmp_path / name)
        return tmp_path / name

    return made


def spoil(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_an_encoder_with_a_tokenizer(saved: Callable[..., Path]) -> None:
    model = bert()
    folder = saved(model)
    with_tokenizer(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\ntags: [x]\n---\n# license: none\n")
    source = seatrial.load_source(f"hf:{folder}")
    assert (source.name, source.weights_licence) == ("tiny-model", "apache-2.0 (model card)")
    assert {name: tuple(value.shape) for name, value in source.inputs.items()} == {
        "input_ids": (1, 32),
        "attention_mask": (1, 32),
        "token_type_ids": (1, 32),
    }
    assert len(list(source.checks)) == 24
    assert source.inputs["input_ids"].unique().numel() > 3  # words of the text, not one repeated
    with torch.no_grad():
        expected = model(**source.inputs).last_hidden_state
    assert torch.equal(source.call(source.inputs), expected)


def test_a_language_model_without_a_tokenizer_exports_for_texts_of_any_length(
    saved: Callable[..., Path], tmp_path: Path
) -> None:
    model = gpt2()
    bundle = seatrial.export(f"hf:{saved(model)}", "x86-64-cpu-fp32", tmp_path / "bundles")
    assert isinstance(bundle, Bundle)
    assert bundle.manifest.parity["sqnr_db"] > 80
    session = HostSession(bundle.path / "model.onnx")
    ids = torch.randint(0, 60, (1, 7))
    found = session.run({"input_ids": ids.numpy(), "attention_mask": np.ones((1, 7), np.int64)})
    with torch.no_grad():
        assert np.allclose(next(iter(found.values())), model(input_ids=ids).logits.numpy(), atol=1e-4)


def test_a_classifier_of_texts_and_one_of_images(saved: Callable[..., Path]) -> None:
    source = seatrial.load_source(f"hf:{saved(bert('BertForSequenceClassification', num_labels=3), 'text')}")
    assert tuple(source.call(source.inputs).shape) == (1, 3)
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic")
    images = saved(transformers.ResNetForImageClassification(config), "image")
    source = seatrial.load_source(f"hf:{images}")
    assert tuple(source.inputs["pixel_values"].shape) == (1, 3, 224, 224)
    assert tuple(source.call(source.inputs).shape) == (1, 2)


@pytest.mark.parametrize("mode", ["pooling_mode_mean_tokens", "pooling_mode_cls_token"])
def test_a_folder_of_sentence_transformers_gives_embeddings(saved: Callable[..., Path], mode: str) -> None:
    folder = saved(bert())
    kinds = ["Transformer", "Pooling", "Normalize"]
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": f"1_{kind}"} for kind in kinds]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 16, mode: True}))
    source = seatrial.load_source(f"hf:{folder}")
    mask = torch.ones(1, 32, dtype=torch.int64)
    mask[0, 10:] = 0
    inputs = {**source.inputs, "attention_mask": mask}
    found = source.call(inputs)
    assert found.norm().item() == pytest.approx(1.0, abs=1e-5)
    states = source.module.model(**inputs).last_hidden_state
    wanted = states[:, :10].mean(1) if "mean" in mode else states[:, 0]
    assert torch.allclose(found, torch.nn.functional.normalize(wanted), atol=1e-5)


def test_what_is_not_a_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder; models are read from local folders only"):
        seatrial.load_source("hf:sentence-transformers/all-MiniLM-L6-v2")
    with pytest.raises(ModelError, match=r"config\.json: can't be read"):
        seatrial.load_source(f"hf:{tmp_path}")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="is no JSON"):
        seatrial.load_source(f"hf:{tmp_path}")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="names no model_type"):
        seatrial.load_source(f"hf:{tmp_path}")


def test_pickled_weights_are_not_read(saved: Callable[..., Path], tmp_path: Path) -> None:
    folder = saved(bert())
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"holds no \*\.safetensors"):
        seatrial.load_source(f"hf:{folder}")

    class Harm:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "harmed"),)

    torch.save({"x": Harm()}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"the weights are a pickle \(pytorch_model.bin\)"):
        seatrial.load_source(f"hf:{folder}")
    assert not (tmp_path / "harmed").exists()


def test_code_of_the_folder_runs_only_when_it_was_allowed(saved: Callable[..., Path], tmp_path: Path) -> None:
    folder = saved(bert())
    spoil(folder, auto_map={"AutoModel": "own.Own"})
    code = f"open({str(tmp_path / 'ran')!r}, 'w')\nfrom transformers import BertModel\nclass Own(BertModel): pass\n"
    (folder / "own.py").write_text(code)
    with pytest.raises(ModelError, match=r"brings code of its own \(AutoModel\); if you trust it"):
        seatrial.load_source(f"hf:{folder}")
    assert not (tmp_path / "ran").exists()


def test_weights_that_are_absent_are_no_random_numbers(saved: Callable[..., Path]) -> None:
    folder = saved(bert())
    spoil(folder, architectures=["BertForSequenceClassification"])
    with pytest.raises(ModelError, match=r"the weights lack classifier\.bias and 1 more"):
        seatrial.load_source(f"hf:{folder}")
    spoil(folder, architectures=["BortModel"])
    with pytest.raises(ModelError, match="has no BortModel"):
        seatrial.load_source(f"hf:{folder}")


def test_damaged_weights_and_other_kinds_of_models_are_named(saved: Callable[..., Path]) -> None:
    folder = saved(bert())
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ModelError, match="can't load it"):
        seatrial.load_source(f"hf:{folder}")
    config = transformers.T5Config(vocab_size=60, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    with pytest.raises(ModelError, match="is an encoder with a decoder"):
        seatrial.load_source(f"hf:{saved(transformers.T5ForConditionalGeneration(config), 't5')}")


def test_a_pooling_path_can_not_leave_the_folder(saved: Callable[..., Path]) -> None:
    folder = saved(bert())
    modules = [{"type": "x.Transformer", "path": ""}, {"type": "x.Pooling", "path": "../elsewhere"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match="names a folder outside"):
        seatrial.load_source(f"hf:{folder}")
