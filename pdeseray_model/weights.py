"""Weights on disk: safetensors only, moved into place whole, and where first weights come from.

Belongs here: reading, writing, initialising. Nothing is ever unpickled; a file that is not safetensors is refused.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pdeseray_model.errors import UnusableError
from pdeseray_model.networks import ENCODERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pdeseray_model.config import NetworkConfig, TrainingConfig

WEIGHTS_FOLDER = "PDESERAY_WEIGHTS"  # environment variable: a folder of <published name>.safetensors
SHOWN_N = 5  # mismatches written out in an error; the count says how many there are


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as safetensors, whole or not at all."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    replace_file(path, lambda beside: save_file(whole, beside, metadata={"format": "pt", **(metadata or {})}))


def replace_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a file beside the place, then move it there; a full disk is told as such."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(descriptor)
    beside = Path(name)
    try:
        write(beside)
        beside.chmod(0o644)
        beside.replace(path)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise UnusableError(
            expected=f"room on disk for {path.name}",
            found="no space left on the device",
            remedy="free space and start again: training continues from its last whole state",
        ) from error
    finally:
        beside.unlink(missing_ok=True)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; raises UnusableError when it is something else."""
    try:
        with safe_open(path, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}, dict(opened.metadata() or {})  # noqa: SIM118 - no dict
    except (OSError, SafetensorError) as error:
        raise UnusableError(
            expected=f"whole safetensors in {path.name}",
            found=f"{type(error).__name__}: {error}",
            remedy="give a weights.safetensors that this program wrote; other formats are never opened",
        ) from error


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill a network; raises UnusableError with the mismatches when the file is of another architecture."""
    tensors, _ = load_tensors(path)
    fill(network, tensors, path.name)


def fill(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy tensors in, every one of them and no other."""
    wanted = network.state_dict()
    faults = [f"{name} is missing" for name in wanted if name not in tensors]
    faults += [f"{name} is not in the network" for name in tensors if name not in wanted]
    faults += [
        f"{name} is {tuple(tensors[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    if faults:
        raise UnusableError(
            expected=f"weights of this very architecture in {source}",
            found=f"{len(faults)} differences ({'; '.join(faults[:SHOWN_N])}{'; …' if len(faults) > SHOWN_N else ''})",
            remedy="configure the network as the checkpoint's model.json says, or choose another checkpoint",
        )
    network.load_state_dict(dict(tensors))


def initialise(network: nn.Module, config: TrainingConfig) -> str:
    """Give a network its first weights and return how: "imagenet", "random" or "parent".

    The paper names ImageNet for encoders; the original U-Net has none, so it starts at random either way.
    """
    if config.init == "parent":
        load_weights(network, weights_file(Path(config.initial_weights or "")))
        return "parent"
    if config.init == "random" or config.network.name == "unet":
        return "random"
    _fill_encoder(network, config.network)
    return "imagenet"


def weights_file(path: Path) -> Path:
    """Return the weights in a finished model's folder, or the file itself."""
    return path / "weights.safetensors" if path.is_dir() else path


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _fill_encoder(network: nn.Module, config: NetworkConfig) -> None:
    encoder = network.get_submodule("encoder")
    published = _published(config)
    tensors = load_file(_find(*published))
    if config.name == "pdeseray":  # timm's file also holds the classifier
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("head.")}
    else:
        tensors = {
            name: tensor for name, tensor in tensors.items() if not name.startswith(("fc.", "last_linear."))
        }
        for name, tensor in encoder.state_dict().items():  # older files lack batch norm's step counter
            if name.endswith("num_batches_tracked"):
                tensors.setdefault(name, torch.zeros_like(tensor))
    fill(encoder, tensors, published[0])


def _published(config: NetworkConfig) -> tuple[str, str, str | None]:
    """Name, hub repository and revision of the ImageNet weights that the paper's encoders start from."""
    if config.name == "pdeseray":
        return "convnext_tiny.fb_in1k", "timm/convnext_tiny.fb_in1k", None
    from segmentation_models_pytorch.encoders import encoders  # type: ignore[import-untyped]

    name = ENCODERS[config.name]
    settings = encoders[name]["pretrained_settings"]["imagenet"]
    return f"{name}.imagenet", settings["repo_id"], settings["revision"]


def _find(name: str, repository: str, revision: str | None) -> Path:
    folder = os.environ.get(WEIGHTS_FOLDER)
    if folder:
        path = Path(folder) / f"{name}.safetensors"
        if path.is_file():
            return path
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(hf_hub_download(repository, "model.safetensors", revision=revision))
    except (OSError, HfHubHTTPError) as error:
        raise UnusableError(
            expected=f"ImageNet weights {name}",
            found=f"neither {name}.safetensors in ${WEIGHTS_FOLDER} nor the hub's {repository} "
            f"({type(error).__name__})",
            remedy=f"put that file into a folder and set {WEIGHTS_FOLDER} to it, connect to the hub, "
            "or ask for random weights (init: random)",
        ) from error
