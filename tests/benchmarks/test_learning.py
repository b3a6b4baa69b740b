import json
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_on_networks_says_what_the_hours_training_reached() -> None:
    page = (DOCS / "networks.md").read_text("utf-8")
    result = json.loads((DOCS / "images" / "learning.json").read_text("utf-8"))
    cells = ("dice_positives", "mdsc", "sensitivity", "specificity")
    for metrics in result["points"].values():
        assert " | ".join(f"{metrics[name][0]:.3f}" for name in cells) in page
    assert f"on {result['test_radiographs']} test phantoms" in page
    assert f"predicting nothing | 0 | {result['predict_nothing_mdsc']:.3f} |" in page
    assert f"is missed: {100 * result['mdsc_above_nothing']:.1f}." in page
    for of, name in (("pixels", "pixel_auc"), ("films", "image_auc")):
        assert f"over {of} {result['points']['paper'][name][0]:.3f}" in page
    natural = json.loads((DOCS / "images" / "learning-natural.json").read_text("utf-8"))
    assert f"came to {100 * natural['mdsc_above_nothing']:.1f} points above" in page
    assert f"to {natural['dice_positives']:.3f} for" in page
