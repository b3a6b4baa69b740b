"""The drawing of the network says what the network is."""

import re
from xml.etree import ElementTree as ET

from pdeseray_model.config import NetworkConfig
from pipelines.reports.architecture import draw


def _texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter() if element.tag.endswith("text")]  # noqa: S314 - our own


def test_the_drawing_shows_table_1s_sizes_and_the_counted_parameters() -> None:
    texts = _texts(draw(NetworkConfig()))
    assert any("31,956,401 parameters" in text for text in texts)
    sizes = [match for text in texts if (match := re.match(r"(\d+) × (\d+)² ·", text))]
    assert {(int(m[1]), int(m[2])) for m in sizes} >= {
        (96, 128),
        (192, 64),
        (384, 32),
        (768, 16),
        (16, 512),
        (1, 512),
    }


def test_the_drawing_follows_the_configuration() -> None:
    whole, without = draw(NetworkConfig()), draw(NetworkConfig(stem_skip=False, mixing="dense"))
    assert whole.count("way skip") == 4
    assert without.count("way skip") == 3
    assert "full conv 7×7" in without
