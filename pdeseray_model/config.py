"""What a network is, how it is trained, and the two named profiles.

Belongs here: frozen values with JSON both ways, and where each default comes from. No torch here.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, Self, get_args, get_origin, get_type_hints

from pdeseray_model.errors import UnusableError

Architecture = Literal["pdeseray", "unet", "unet_resnet101", "unet_se_resnet101", "unet_se_resnext101"]
HALVINGS = 32  # the image is halved five times
Profile = Callable[..., tuple["NetworkConfig", "Recipe"]]


class _Json:
    """JSON both ways for a frozen dataclass of plain values, nested dataclasses and tuples."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values only; tuples become lists."""
        values: dict[str, Any] = json.loads(self.to_json())
        return values

    def to_json(self) -> str:
        """One JSON object with sorted keys, so that equal values give equal text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from plain values; raises UnusableError that lists every unknown, missing or ill-typed field."""
        hints = get_type_hints(cls)
        fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        required = {
            name
            for name, f in fields.items()
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        }
        faults = [f"unknown field {name!r}" for name in values if name not in fields]
        faults += [f"missing field {name!r}" for name in sorted(required - set(values))]
        if faults:
            _refuse(cls, faults)
        return cls(**{name: _convert(hints[name], value) for name, value in values.items()})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what to_json wrote."""
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            _refuse(cls, [f"text that is not JSON (line {error.lineno})"])
        if not isinstance(values, dict):
            _refuse(cls, [f"a JSON {type(values).__name__}"])
        return cls.from_dict(values)


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(_Json):
    """An architecture and its settings; the defaults of P-DeSeRay are the paper's Table 1.

    Attributes
    ----------
    name : str
        pdeseray, unet (original), or a U-Net with an encoder of segmentation_models_pytorch.
    widths, depths : tuple of int
        Channels and blocks of P-DeSeRay's four encoder stages (Table 1: 96-192-384-768 and 3-3-9-3).
    decoder_widths : tuple of int
        Channels of P-DeSeRay's five decoder stages (Table 1).
    stem, mixing, expansion, stem_skip : str, str, float, bool
        The four claims of section 5.4 as settings: patchified stem, depthwise 7 by 7 convolutions, inverted
        bottleneck, and the stem's features as a skip at half size.
    layer_scale : float
        Where each block's learnt gamma ("sc" in Table 1) starts. ConvNeXt's 1e-6 suits long trainings and published
        weights; in a few hundred steps from random weights the blocks would hardly be heard.
    upsample : str
        How the decoder doubles its size. Only interpolation gives the paper's 31.9 M parameters.
    unet_widths : tuple of int
        Channels of the original U-Net's five levels.
    """

    name: Architecture = "pdeseray"
    widths: tuple[int, ...] = (96, 192, 384, 768)
    depths: tuple[int, ...] = (3, 3, 9, 3)
    decoder_widths: tuple[int, ...] = (256, 128, 64, 32, 16)
    stem: Literal["patch4", "conv"] = "patch4"
    mixing: Literal["depthwise", "dense"] = "depthwise"
    expansion: float = 4.0
    layer_scale: float = 1e-6
    stem_skip: bool = True
    upsample: Literal["nearest", "bilinear", "deconvolution"] = "nearest"
    unet_widths: tuple[int, ...] = (32, 64, 128, 256, 512)

    def __post_init__(self) -> None:
        faults = _choice_faults(self)
        for name, n in (("widths", 4), ("depths", 4), ("decoder_widths", 5), ("unet_widths", 5)):
            value = getattr(self, name)
            if len(value) != n or any(v < 1 for v in value):
                faults.append(f"{name}={value}, not {n} positive integers")
        if self.expansion <= 0:
            faults.append(f"expansion={self.expansion}, not positive")
        if faults:
            _refuse(type(self), faults)


@dataclass(frozen=True, kw_only=True)
class Recipe(_Json):
    """How a network is trained; the defaults are Table 3 and, where the paper is silent, this project's.

    Attributes
    ----------
    size_px : int
        Side of the square images (section 4.3: 512).
    loss, beta, gamma, focal_weight, reduction, smoothing
        See pdeseray_model.losses. The paper adds focal to Tversky unweighted; averaged over all pixels it is then
        about a hundred times weaker on a positive pixel. Summed over the batch, as segmentation_models_pytorch does:
        summed per image it rewards emptying the maps of the four images of five that are empty until positives are
        lost too. Smoothing 1 (pixel) gives batches without any positive a gradient.
    learning_rate, schedule, plateau_factor, plateau_patience
        Adam's rate. "plateau" multiplies it by the factor after `patience` epochs without a better validation loss;
        "one_cycle" warms up over a tenth of the steps and falls to zero along a cosine.
    batch_size : int
        Radiographs of one optimiser step, over all processes together.
    epochs, steps_per_epoch, max_steps
        steps_per_epoch null means one pass over the training radiographs; max_steps ends training early.
    positive_share : float or None
        Share of positives in every batch; null samples naturally, as the paper does.
    augmentation, augment_validation
        "table2", "flip" or "none". The paper augments the validation set too; we do not unless asked.
    encoder_rate : float
        The encoder's share of the learning rate: 1 trains the whole network alike, 0 the decoder alone (the encoder's
        statistics stand still too), between them the encoder more slowly.
    ema_decay : float or None
        Validate and keep an exponential moving average of the weights.
    top_k : int
        Keep the mean of the weights of so many best epochs, where it validates no worse than the best one alone.
    early_stop_epochs : int or None
        Stop after so many epochs in a row without a smaller validation loss. The paper trains all 50.
    accumulation : int
        Parts in which a batch goes through the network, for want of memory. The optimiser still steps once a batch,
        but batch norm, and Tversky summed over a batch, then see a part of it only.
    freeze_batch_norm : bool
        Normalise with the statistics that the first weights came with; scale and shift are still learnt. Needed
        where processes or parts are so small that their own statistics are noise.
    precision, channels_last, compiled, deterministic
        Arithmetic. bf16 is autocast (weights stay fp32): much faster where the processor has it, and Dice moves by
        chance only. channels_last is the memory order that convolutions like. compiled hands the network to
        torch.compile: a minute's start for a few percent on a CPU, more on a GPU. deterministic gives the same bits
        again on the same CPU and thread count.
    state_every_steps, log_every_steps, overlays_n, overlay_every_epochs
        How often the run's state, log lines and overlay pictures are written.
    workers, threads
        Loader processes (0: in the training process) and CPU threads (null: torch decides). Neither changes samples.
    """

    size_px: int = 512
    loss: Literal["mixed", "tversky", "focal"] = "mixed"
    beta: float = 0.5
    gamma: float = 2.0
    focal_weight: float = 1.0
    reduction: Literal["image", "positives", "batch"] = "batch"
    smoothing: float = 1.0
    learning_rate: float = 5e-4
    schedule: Literal["plateau", "one_cycle"] = "plateau"
    plateau_factor: float = 0.5
    plateau_patience: int = 3
    encoder_rate: float = 1.0
    weight_decay: float = 0.0
    batch_size: int = 8
    epochs: int = 50
    steps_per_epoch: int | None = None
    max_steps: int | None = None
    positive_share: float | None = None
    augmentation: Literal["table2", "flip", "none"] = "table2"
    augment_validation: bool = False
    ema_decay: float | None = None
    top_k: int = 1
    early_stop_epochs: int | None = None
    accumulation: int = 1
    freeze_batch_norm: bool = False
    precision: Literal["fp32", "bf16"] = "fp32"
    channels_last: bool = True
    compiled: bool = False
    deterministic: bool = False
    state_every_steps: int = 500
    log_every_steps: int = 10
    overlays_n: int = 4
    overlay_every_epochs: int = 5
    workers: int = 2
    threads: int | None = None

    def __post_init__(self) -> None:
        faults = _choice_faults(self)
        counts = [
            *("batch_size", "epochs", "steps_per_epoch", "max_steps", "state_every_steps", "log_every_steps"),
            *(
                "plateau_patience",
                "overlay_every_epochs",
                "threads",
                "top_k",
                "early_stop_epochs",
                "accumulation",
            ),
        ]
        faults += [
            f"{name}={value}, not at least 1"
            for name in counts
            if (value := getattr(self, name)) is not None and value < 1
        ]
        if self.accumulation > 0 and self.batch_size % self.accumulation:
            faults.append(f"batch_size={self.batch_size}, not a multiple of accumulation={self.accumulation}")
        if self.size_px < HALVINGS or self.size_px % HALVINGS:
            faults.append(f"size_px={self.size_px}, not a multiple of 32")
        for name, low, high in (
            ("beta", 0, 1),
            ("positive_share", 0, 1),
            ("ema_decay", 0, 1),
            ("plateau_factor", 0, 1),
            ("encoder_rate", 0, 1),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                faults.append(f"{name}={value}, not in [{low}, {high}]")
        for name in (
            "gamma",
            "focal_weight",
            "smoothing",
            "weight_decay",
            "learning_rate",
            "workers",
            "overlays_n",
        ):
            if getattr(self, name) < 0:
                faults.append(f"{name}={getattr(self, name)}, negative")
        if faults:
            _refuse(type(self), faults)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(_Json):
    """One training: what, how, on which radiographs, from which weights, written where.

    Attributes
    ----------
    training_set : str
        Path of a training_set.json (see pdeseray_model.data).
    run_folder : str
        Where log, overlays, state and the finished model go.
    init : str
        "imagenet" (published encoder weights), "random", or "parent" (the model in `initial_weights`).
    initial_weights : str or None
        A finished model's folder or its weights.safetensors; required when init is "parent".
    """

    network: NetworkConfig
    recipe: Recipe
    training_set: str
    run_folder: str
    init: Literal["imagenet", "random", "parent"] = "imagenet"
    initial_weights: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        faults = _choice_faults(self)
        if (self.init == "parent") != (self.initial_weights is not None):
            faults.append(
                f"init={self.init!r} with initial_weights={self.initial_weights!r}: parent and only parent has"
            )
        if faults:
            _refuse(type(self), faults)


def paper(network: Architecture = "pdeseray", *, fine_tuning: bool = False) -> tuple[NetworkConfig, Recipe]:
    """Tables 1 to 3: 512 px, Adam 5e-4 with plateau, 50 epochs, batch 8 (16 for the original U-Net).

    Fine-tuning starts at 1e-4 (the paper names no rate).
    """
    recipe = Recipe(
        batch_size=16 if network == "unet" else 8,
        learning_rate=1e-4 if fine_tuning else 5e-4,
    )
    return NetworkConfig(name=network), recipe


def demo(network: Architecture = "pdeseray", *, fine_tuning: bool = False) -> tuple[NetworkConfig, Recipe]:
    """Minutes on two CPU cores: 128 px, narrower networks of the same classes, half of each batch positive.

    The paper's stage ratio 1:1:3:1 is kept. One-cycle, because a few hundred steps leave a plateau no time to show;
    Table 2's augmentation, because without it a hundred positives are soon known by heart. Tversky over each positive
    alone, because in a batch's sum a large pneumothorax drowns the small ones.
    """
    config = NetworkConfig(
        name=network,
        widths=(32, 64, 128, 256),
        depths=(2, 2, 6, 2),
        decoder_widths=(96, 64, 32, 16, 8),
        layer_scale=1.0,
        unet_widths=(12, 24, 48, 96, 192),
    )
    steps_per_epoch = 50
    epochs = 34 if network == "pdeseray" else 6  # shares of the demo's four and a half minutes of training
    recipe = Recipe(
        size_px=128,
        learning_rate=5e-4 if fine_tuning else 2e-3,
        schedule="one_cycle",
        batch_size=8,
        epochs=4 if fine_tuning else epochs,
        steps_per_epoch=steps_per_epoch,
        positive_share=0.5,
        reduction="positives",
        deterministic=True,
        state_every_steps=steps_per_epoch,
        workers=0,
        threads=2,
    )
    return config, recipe


PROFILES: Mapping[str, Profile] = {"demo": demo, "paper": paper}


def _choice_faults(values: object) -> list[str]:
    """Literal fields that hold something else."""
    faults = []
    for name, hint in get_type_hints(type(values)).items():
        if get_origin(hint) is Literal and getattr(values, name) not in get_args(hint):
            faults.append(
                f"{name}={getattr(values, name)!r}, not one of {', '.join(map(str, get_args(hint)))}"
            )
    return faults


def _convert(hint: Any, value: Any) -> Any:  # noqa: ANN401 - JSON values have any type
    """JSON's lists and objects back to tuples and nested dataclasses."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict) and isinstance(hint, type) and issubclass(hint, _Json):
        return hint.from_dict(value)
    return value


def _refuse(kind: type, faults: list[str]) -> NoReturn:
    raise UnusableError(
        expected=f"a valid {kind.__name__}",
        found="; ".join(faults),
        remedy="correct the configuration (its fields are described in pdeseray_model/config.py)",
    )
