"""A finished model predicts the same with every runtime, and says what it cannot do."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from pdeseray_model import export
from pdeseray_model.config import TrainingConfig
from pdeseray_model.errors import UnusableError
from pdeseray_model.predictor import Predictor, open_model
from pdeseray_model.train import train
from pdeseray_model.weights import load_tensors, save_tensors

IMAGES = np.random.default_rng(0).integers(0, 255, (5, 32, 32), dtype=np.uint8)


@pytest.fixture
def model(configure: Callable[..., TrainingConfig]) -> Path:
    config = configure()
    assert train(config)
    return Path(config.run_folder)


def test_onnx_gives_pytorchs_probabilities_at_any_batch(model: Path) -> None:
    ours = Predictor.load(model).predict(IMAGES)
    onnx = Predictor.load(model, runtime="onnx")
    for batch_size in (1, 2, 5):
        np.testing.assert_allclose(onnx.predict(IMAGES, batch_size=batch_size), ours, atol=1e-4)


def test_the_export_program_writes_a_file_that_another_program_reads(model: Path, tmp_path: Path) -> None:
    import onnxruntime

    out = tmp_path / "model.onnx"
    assert export.main([str(model), str(out)]) == 0
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    (put,), (got,) = session.get_inputs(), session.get_outputs()
    assert (put.name, put.type, put.shape[1:]) == ("images", "tensor(uint8)", [32, 32])
    assert isinstance(put.shape[0], str)  # a name, not a number: any batch
    assert (got.name, got.type) == ("probabilities", "tensor(float)")
    found = session.run(None, {"images": IMAGES[:3]})[0]
    np.testing.assert_allclose(found, Predictor.load(model).predict(IMAGES[:3]), atol=1e-4)


def test_the_export_program_exits_2_where_there_is_no_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export.main([str(tmp_path), str(tmp_path / "model.onnx")]) == 2
    assert "finished model" in capsys.readouterr().err
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize("runtime", ["torch_bf16", "openvino"])
def test_half_precision_moves_probabilities_little(
    model: Path, runtime: Literal["torch_bf16", "openvino"]
) -> None:
    found = Predictor.load(model, runtime=runtime).predict(IMAGES, batch_size=2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, Predictor.load(model).predict(IMAGES), atol=0.05)


def test_without_openvino_the_remedy_is_told(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UnusableError, match="pip install"):
        Predictor.load(model, runtime="openvino")


def test_flip_averaging_is_the_mean_of_both_ways_and_mirrors_with_the_image(model: Path) -> None:
    plain, flipped = Predictor.load(model), Predictor.load(model, flip=True)
    mirrored = np.ascontiguousarray(IMAGES[:, :, ::-1])
    expected = (plain.predict(IMAGES) + plain.predict(mirrored)[:, :, ::-1]) / 2
    np.testing.assert_allclose(flipped.predict(IMAGES), expected, atol=1e-6)
    np.testing.assert_allclose(flipped.predict(mirrored), flipped.predict(IMAGES)[:, :, ::-1], atol=1e-6)


def test_an_unknown_runtime_is_refused_with_those_there_are(model: Path) -> None:
    with pytest.raises(UnusableError, match="torch, torch_bf16, onnx, openvino"):
        Predictor.load(model, runtime="tensorrt")  # type: ignore[arg-type]


def test_weights_that_give_no_numbers_are_refused(model: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(model, damaged)
    tensors, _ = load_tensors(damaged / "weights.safetensors")
    tensors["head.bias"] = torch.full_like(tensors["head.bias"], float("nan"))
    save_tensors(damaged / "weights.safetensors", tensors)
    with pytest.raises(UnusableError, match="no numbers"):
        Predictor.load(damaged).predict(IMAGES)


def test_an_opened_model_says_its_size(model: Path) -> None:
    served, size_px = open_model(model)
    assert size_px == 32
    assert not served.training
