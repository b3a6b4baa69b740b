import pytest
import timm
import torch

from pdeseray_model.config import PROFILES, NetworkConfig
from pdeseray_model.convnext import ConvNeXt
from pdeseray_model.errors import UnusableError
from pdeseray_model.networks import build, catalogue, count_parameters, named, summarise


def parameters_of(config: NetworkConfig) -> int:
    with torch.device("meta"):
        return count_parameters(build(config))


@pytest.mark.parametrize(
    ("name", "parameters_n"),
    [
        ("pdeseray", 31_956_401),
        ("unet", 7_763_041),
        ("unet_resnet101", 51_513_233),
        ("unet_se_resnet101", 56_290_945),
        ("unet_se_resnext101", 55_919_489),
    ],
)
def test_parameter_counts_are_those_of_table_4(name: str, parameters_n: int) -> None:
    assert parameters_of(named(name)) == parameters_n


def test_parameter_counts_of_the_architectures_settings() -> None:
    assert parameters_of(NetworkConfig(stem_skip=False)) == 31_928_753
    assert parameters_of(NetworkConfig(upsample="bilinear")) == 31_956_401
    # a 2x2 transposed convolution (4 w^2 + w) for each of the widths doubled: 768, 256, 128, 64, 32 and the stem's 96
    doubled = sum(4 * w * w + w for w in (768, 256, 128, 64, 32, 96))
    assert parameters_of(NetworkConfig(upsample="deconvolution")) == 31_956_401 + doubled
    # both linear layers of a block lose three quarters of 8 w^2 and the inner bias three quarters of 4 w
    lost = sum(n * (6 * w * w + 3 * w) for w, n in zip((96, 192, 384, 768), (3, 3, 9, 3), strict=True))
    assert parameters_of(NetworkConfig(expansion=1.0)) == 31_956_401 - lost
    # a dense 3x3 (9 w^2) in place of a depthwise 7x7 (49 w)
    dense = sum(n * (9 * w * w - 49 * w) for w, n in zip((96, 192, 384, 768), (3, 3, 9, 3), strict=True))
    assert parameters_of(NetworkConfig(mixing="dense")) == 31_956_401 + dense


def test_stages_have_the_output_sizes_of_table_1() -> None:
    d = 512
    assert [(stage, shape) for stage, shape, _ in summarise(NetworkConfig(), d)] == [
        ("Image", (3, d, d)),
        ("Encoder stem", (96, d // 4, d // 4)),
        ("Encoder stage 0", (96, d // 4, d // 4)),
        ("Encoder stage 1", (192, d // 8, d // 8)),
        ("Encoder stage 2", (384, d // 16, d // 16)),
        ("Encoder stage 3", (768, d // 32, d // 32)),
        ("Decoder stage 0", (256, d // 16, d // 16)),
        ("Decoder stage 1", (128, d // 8, d // 8)),
        ("Decoder stage 2", (64, d // 4, d // 4)),
        ("Decoder stage 3", (32, d // 2, d // 2)),
        ("Decoder stage 4", (16, d, d)),
        ("Segmentation head", (1, d, d)),
    ]
    assert sum(n for *_, n in summarise(NetworkConfig(), d)) == 31_956_401


def test_encoder_computes_what_timms_convnext_computes() -> None:
    torch.manual_seed(0)
    theirs = timm.create_model("convnext_tiny.fb_in1k", pretrained=False, num_classes=0).eval()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if name.endswith("gamma"):
                parameter.fill_(0.5)  # the published start, 1e-6, would hide what the blocks compute
    ours = ConvNeXt(NetworkConfig()).eval()
    weights = {name: tensor for name, tensor in theirs.state_dict().items() if not name.startswith("head.")}
    ours.load_state_dict(weights)
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        features = ours(images)[-1]
        torch.testing.assert_close(features, theirs.stages(theirs.stem(images)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "setting", [{"stem": "conv"}, {"mixing": "dense"}, {"expansion": 0.25}, {"stem_skip": False}]
)
@pytest.mark.parametrize("upsample", ["nearest", "bilinear", "deconvolution"])
def test_every_setting_of_section_54_gives_one_logit_a_pixel(
    setting: dict[str, object], upsample: str
) -> None:
    narrow = PROFILES["demo"]("pdeseray")[0].to_dict()
    network = build(NetworkConfig.from_dict({**narrow, **setting, "upsample": upsample}))
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 1, 64, 64)


def test_demo_networks_are_narrow_networks_of_the_same_class() -> None:
    for name in ("pdeseray", "unet"):
        network = PROFILES["demo"](name)[0]
        assert type(build(network)) is type(build(named(name)))
        assert 1_000_000 < parameters_of(network) < 3_000_000


def test_catalogue_lists_the_five_networks_beside_the_papers_millions() -> None:
    rows = {row.name: row for row in catalogue()}
    assert list(rows) == ["pdeseray", "unet", "unet_resnet101", "unet_se_resnet101", "unet_se_resnext101"]
    for row in rows.values():
        assert abs(row.parameters_n - row.paper_parameters) < 60_000
    # U-Net by hand: 9 (in w + w w) multiply-adds a pixel at each level, twice that going up, 2x2 transposed
    # convolutions (4 in out for four pixels) and the 1x1 head
    macs = 0
    for level, (before, width) in enumerate(zip((3, 32, 64, 128, 256), (32, 64, 128, 256, 512), strict=True)):
        macs += 9 * width * (before + width) * (512 >> level) ** 2
    for level, width in enumerate((32, 64, 128, 256)):
        pixels = (512 >> level) ** 2
        macs += 9 * (2 * width * width + width * width) * pixels + 2 * width * width * pixels
    macs += 32 * 512 * 512
    assert rows["unet"].gmacs == pytest.approx(macs / 1e9, abs=1e-3)


def test_unknown_network_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UnusableError, match="unet_se_resnext101"):
        named("vgg")
