import dataclasses

import pytest

from pdeseray_model.config import PROFILES, NetworkConfig, Recipe, TrainingConfig
from pdeseray_model.errors import UnusableError


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("network", ["pdeseray", "unet", "unet_se_resnext101"])
@pytest.mark.parametrize("fine_tuning", [False, True])
def test_configuration_survives_json_both_ways(profile: str, network: str, fine_tuning: bool) -> None:
    built, recipe = PROFILES[profile](network, fine_tuning=fine_tuning)
    config = TrainingConfig(
        network=built,
        recipe=recipe,
        training_set="t.json",
        run_folder="run",
        init="parent",
        initial_weights="w",
    )
    assert TrainingConfig.from_json(config.to_json()) == config


def test_paper_profile_is_table_3() -> None:
    network, recipe = PROFILES["paper"]("pdeseray")
    assert network == NetworkConfig()
    assert (recipe.size_px, recipe.learning_rate, recipe.epochs, recipe.batch_size) == (512, 5e-4, 50, 8)
    assert (recipe.schedule, recipe.plateau_factor, recipe.plateau_patience) == ("plateau", 0.5, 3)
    assert (recipe.loss, recipe.beta, recipe.gamma) == ("mixed", 0.5, 2.0)
    assert (recipe.positive_share, recipe.augmentation, recipe.augment_validation) == (None, "table2", False)
    assert PROFILES["paper"]("unet")[1].batch_size == 16
    assert PROFILES["paper"]("pdeseray", fine_tuning=True)[1].learning_rate == 1e-4


def test_every_fault_of_a_configuration_is_named_at_once() -> None:
    with pytest.raises(UnusableError) as error:
        Recipe.from_dict({"loss": "dice", "size_px": 100, "epochs": 0, "beta": 2.0})
    for name in ("loss='dice'", "size_px=100", "epochs=0", "beta=2.0"):
        assert name in error.value.found


def test_unknown_and_missing_fields_are_refused() -> None:
    with pytest.raises(UnusableError, match="unknown field 'nmae'"):
        NetworkConfig.from_dict({"nmae": "unet"})
    with pytest.raises(UnusableError, match="missing field 'network'"):
        TrainingConfig.from_json("{}")
    with pytest.raises(UnusableError, match="not JSON"):
        TrainingConfig.from_json("{")


def test_parent_weights_and_init_parent_need_each_other() -> None:
    network, recipe = PROFILES["demo"]("pdeseray")
    for init, weights in (("parent", None), ("random", "w.safetensors")):
        with pytest.raises(UnusableError, match="parent"):
            TrainingConfig(
                network=network,
                recipe=recipe,
                training_set="t",
                run_folder="r",
                init=init,  # type: ignore[arg-type]
                initial_weights=weights,
            )


def test_configuration_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        NetworkConfig().name = "unet"  # type: ignore[misc]
