"""P-DeSeRay drawn from its configuration: the stages with their observed sizes, and what a block does.

The paper's Figures 1 and 2 show the same two things; this drawing is ours, and every number in it is counted.
"""

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pdeseray_model.config import NetworkConfig

_WIDTH, _HEIGHT = 1080, 760
_TOP, _STEP = 92, 82  # of the level of full size; between levels
_ENCODER_X, _DECODER_X = 190, 640
_BOX = (170, 46)
_STYLE = """
    svg { --paper: #ffffff; --ink: #1d2733; --soft: #51606f; --line: #7a8896; --encoder: #dcecf8; --decoder: #fdeccf;
          --block: #eceff2; }
    @media (prefers-color-scheme: dark) {
      svg { --paper: #14191f; --ink: #e9eef3; --soft: #a9b6c2; --line: #8695a3; --encoder: #17384f;
            --decoder: #4b3710; --block: #262e37; }
    }
    .paper { fill: var(--paper); } .box { stroke: var(--line); stroke-width: 1.2; }
    .encoder { fill: var(--encoder); } .decoder { fill: var(--decoder); } .block { fill: var(--block); }
    .name { fill: var(--ink); font-size: 15px; text-anchor: middle; }
    .small { fill: var(--soft); font-size: 12.5px; text-anchor: middle; } .left { text-anchor: start; }
    .way { fill: none; stroke: var(--line); stroke-width: 1.8; marker-end: url(#tip); }
    .skip { stroke-dasharray: 5 4; } .tip { fill: var(--line); }"""


def draw(config: "NetworkConfig", size_px: int = 512) -> str:
    """Return P-DeSeRay as an SVG picture: stages left to right and downwards by resolution, skips across."""
    from pdeseray_model.networks import summarise

    stages = {name: (shape, n) for name, shape, n in summarise(config, size_px)}
    total = sum(n for _, n in stages.values())
    parts = [_header(total)]
    level = {size_px >> n: n for n in range(6)}

    def place(name: str, x: int, kind: str, label: str) -> tuple[int, int]:
        shape, parameters = stages[name]
        y = _TOP + _STEP * level[shape[1]]
        parts.append(_box(x, y, kind, label, f"{shape[0]} × {shape[1]}² · {_count(parameters)}"))
        return x, y

    left, right = _ENCODER_X, _DECODER_X
    image = place("Image", left - 150, "block", "radiograph ×3")
    stem = place("Encoder stem", left - 150, "encoder", _STEMS[config.stem])
    encoder = [
        place(f"Encoder stage {n}", left + 60, "encoder", f"{blocks} blocks")
        for n, blocks in enumerate(config.depths)
    ]
    decoder = [place(f"Decoder stage {n}", right, "decoder", "decoder stage") for n in range(5)]
    head = place("Segmentation head", right + 220, "block", "conv 3×3, sigmoid")
    parts.append(_way(_bottom(image), _top(stem)))
    parts.append(_way(_right(stem), _left(encoder[0])))
    parts += [_way(_bottom(above), _top(below)) for above, below in pairwise(encoder)]
    parts.append(_elbow(_right(encoder[3]), _bottom(decoder[0])))
    parts += [_way(_top(below), _bottom(above)) for below, above in pairwise(decoder)]
    parts.append(_way(_right(decoder[4]), _left(head)))
    parts += [_way(_right(encoder[n]), _left(decoder[2 - n]), "skip") for n in range(3)]
    if config.stem_skip:
        x, y = decoder[3]
        parts.append(_path(f"M{stem[0] + _BOX[0] - 30} {stem[1]}V{y + 23}H{x}", "skip"))
        parts.append(_note((stem[0] + x) // 2 + 120, y + 14, "the stem's features, doubled"))
    parts.append(_blocks(config))
    parts.append("</svg>\n")
    return "\n".join(parts)


_STEMS = {"patch4": "stem: conv 4×4 / 4", "conv": "stem: convolutions"}


def _header(total: int) -> str:
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" \
aria-labelledby="title" font-family="system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif">
  <title id="title">P-DeSeRay: ConvNeXt encoder, U-Net decoder, {total:,} parameters</title>
  <style>{_STYLE}
  </style>
  <defs>
    <marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">\
<path class="tip" d="M0 0 10 5 0 10z"/></marker>
  </defs>
  <rect class="paper" width="{_WIDTH}" height="{_HEIGHT}" rx="10"/>
  <text class="name" x="{_WIDTH // 2}" y="34" font-weight="600">P-DeSeRay, {total:,} parameters</text>
  <text class="small" x="{_WIDTH // 2}" y="56">each box: channels × side² · parameters; dashed: skips that are \
joined before the convolutions</text>"""


def _blocks(config: "NetworkConfig") -> str:
    """Draw what one block of either side does, a line each."""
    mixing = "depthwise 7×7" if config.mixing == "depthwise" else "full conv 7×7"
    expansion = f"{config.expansion:g}"
    lines = (
        (
            "encoder",
            "ConvNeXt block",
            (mixing, "layer norm", f"1×1 to {expansion}×", "GELU", "1×1 back", "× γ", "+ input"),
        ),
        (
            "decoder",
            "decoder stage",
            (f"{config.upsample} ×2", "join skip", "conv 3×3", "batch norm", "ReLU", "… twice"),
        ),
    )
    made = []
    for row, (kind, name, steps) in enumerate(lines):
        y = 598 + 74 * row
        made.append(f'  <text class="small left" x="40" y="{y + 27}">{name}</text>')
        for n, step in enumerate(steps):
            x = 150 + 128 * n
            made.append(
                f'  <rect class="box {kind}" x="{x}" y="{y}" width="108" height="44" rx="7"/>'
                f'<text class="small" x="{x + 54}" y="{y + 26}">{step}</text>'
            )
            if n:
                made.append(_path(f"M{x - 20} {y + 22}H{x - 2}"))
    return "\n".join(made)


def _box(x: int, y: int, kind: str, label: str, numbers: str) -> str:
    width, height = _BOX
    middle = x + width // 2
    return (
        f'  <rect class="box {kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="7"/>'
        f'<text class="name" x="{middle}" y="{y + 20}">{label}</text>'
        f'<text class="small" x="{middle}" y="{y + 38}">{numbers}</text>'
    )


def _count(parameters: int) -> str:
    if parameters == 0:
        return "none"
    millions = parameters / 1e6
    return f"{millions:.1f} M" if millions >= 1 else f"{millions * 1e3:.1f} k"


def _note(x: int, y: int, text: str) -> str:
    return f'  <text class="small" x="{x}" y="{y}">{text}</text>'


def _path(way: str, kind: str = "") -> str:
    return f'  <path class="way {kind}" d="{way}"/>'


def _way(start: tuple[int, int], end: tuple[int, int], kind: str = "") -> str:
    return _path(f"M{start[0]} {start[1]}L{end[0]} {end[1]}", kind)


def _elbow(start: tuple[int, int], end: tuple[int, int]) -> str:
    return _path(f"M{start[0]} {start[1]}H{end[0]}V{end[1] + 2}")


def _left(box: tuple[int, int]) -> tuple[int, int]:
    return box[0] - 2, box[1] + _BOX[1] // 2


def _right(box: tuple[int, int]) -> tuple[int, int]:
    return box[0] + _BOX[0], box[1] + _BOX[1] // 2


def _top(box: tuple[int, int]) -> tuple[int, int]:
    return box[0] + _BOX[0] // 2, box[1] - 2


def _bottom(box: tuple[int, int]) -> tuple[int, int]:
    return box[0] + _BOX[0] // 2, box[1] + _BOX[1]
