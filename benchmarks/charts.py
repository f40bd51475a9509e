"""Draw what a run gave: `python -m benchmarks.charts`, as `make bench` does at its end.

`make charts` publishes a run first, and draws the pictures of the pages.

Each picture has one panel for a scenario, and a bar for each contestant: what it takes as a
multiple of what we take. The pictures are the same bytes for the same figures, and follow the
reader's choice of light or dark.
"""

import argparse
import json
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from benchmarks.scenarios import SCENARIOS

PUBLISHED: Final = Path(__file__).with_name("published.json")
PICTURES: Final = Path(__file__).parents[1] / "docs" / "assets"
PANELS: Final = {
    "streams": ("step", "burst"),
    "calls": ("unary1", "unary100", "unary1000"),
    "memory": ("memory", "memory_tls", "memory_stalled"),
    "parsers": ("parse", "parse_large"),
    "start": ("import", "client"),
}
LABELS: Final = {
    "ours": "zai-async",
    "bare_aiohttp": "aiohttp + msgspec by hand",
    "raw_protocol": "raw protocol",
    "raw_iterator": "raw protocol, async for",
    "event_loop": "event loop alone",
    "httpx_naive": "httpx + json",
    "httpx_sse": "httpx-sse + json",
    "sseclient_py": "sseclient-py",
    "anthropic": "anthropic",
    "zai_sdk": "zai-sdk",
    "litellm": "litellm",
    "openai_aiohttp": "openai over aiohttp",
    "openai_default": "openai",
    "node_openai": "openai, Node",
    "node_eventsource_parser": "eventsource-parser, Node",
}
"""Who is shown, and how they are called; some are so slow that no other bar could be seen."""
# Each colour stands for two: the picture refers to them by name.
COLOURS: Final = {
    "#010101": ("ink", "#1f2328", "#e6edf3"),
    "#020202": ("faint", "#656d76", "#9198a1"),
    "#030303": ("ours", "#0969da", "#4493f8"),
    "#040404": ("others", "#afb8c1", "#575f69"),
    "#050505": ("paper", "#ffffff", "#14161b"),
}
INK, FAINT, OURS, OTHERS, PAPER = COLOURS
_STYLE: Final = {
    "svg.hashsalt": "zai-async",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "ytick.color": INK,
    "axes.edgecolor": FAINT,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
}
# In inches: the picture, where its bars begin and end, a bar with the room around it, a title.
_WIDTH, _LEFT, _RIGHT, _BAR, _TITLE = 7.4, 2.0, 7.2, 0.25, 0.5

Results = Mapping[str, Any]


def measured(results: Results) -> dict[str, tuple[str, ...]]:
    """Return the pictures that can be drawn, each with those of its panels that were measured."""
    panels = {
        name: tuple(key for key in keys if "ours" in results.get(key, {}))
        for name, keys in PANELS.items()
    }
    return {name: keys for name, keys in panels.items() if keys}


def ratios(results: Results, key: str) -> dict[str, float]:
    """Return what each contestant takes, as a multiple of what we take; the smallest first."""
    medians = {name: row["median"] for name, row in results[key].items() if name in LABELS}
    shown = {name: median / medians["ours"] for name, median in medians.items()}
    return dict(sorted(shown.items(), key=lambda item: item[1]))


def draw(results: Results, keys: tuple[str, ...]) -> str:
    """Return the picture with a panel for each scenario, one below the other."""
    rows = {key: ratios(results, key) for key in keys}
    height = sum(_TITLE + _BAR * len(row) for row in rows.values()) + 0.15
    with mpl.rc_context(_STYLE):
        figure, top = Figure(figsize=(_WIDTH, height)), height
        for key, row in rows.items():
            top -= _TITLE + _BAR * len(row)
            place = _LEFT, top, _RIGHT - _LEFT, _BAR * len(row)
            _panel(figure.add_axes(_shares(place, height)), key, row, results[key]["ours"])
        figure.text(_RIGHT / _WIDTH, 1 - 0.33 / height, "less is better", color=FAINT, ha="right")
        return _svg(figure)


def _shares(place: tuple[float, ...], height: float) -> tuple[float, ...]:
    left, bottom, width, high = place
    return left / _WIDTH, bottom / height, width / _WIDTH, high / height


def _panel(axes: Axes, key: str, row: dict[str, float], ours: Mapping[str, float]) -> None:
    colours = [OURS if name == "ours" else OTHERS for name in row]
    axes.barh(range(len(row)), list(row.values()), height=0.62, color=colours)
    axes.set_yticks(range(len(row)), [LABELS[name] for name in row])
    axes.set_title(SCENARIOS[key].title, loc="left", fontsize=10, fontweight="bold", x=-0.355)
    for place, (name, ratio) in enumerate(row.items()):
        colour, unit = FAINT, ""
        if name == "ours":
            colour, unit = INK, f" = {ours['median']:.3g} {SCENARIOS[key].unit}"
        axes.annotate(f" {_times(ratio)}{unit}", (ratio, place), va="center", color=colour)
    axes.set_xlim(0, max(row.values()) * 1.35)
    axes.set_ylim(len(row) - 0.5, -0.5)
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _times(ratio: float) -> str:
    """Return a multiple with two digits, or as many as stand before the point."""
    digits = 0 if ratio >= 9.95 else 1 if ratio >= 0.95 else 2
    return f"{ratio:.{digits}f}x"


def _svg(figure: Figure) -> str:
    """Return the picture without a date, and with colours that have two values."""
    out = StringIO()
    FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None, "Creator": None})
    return themed(out.getvalue())


def themed(svg: str) -> str:
    """Let the reader's choice of light or dark decide what the colours are."""
    for colour, (name, _, _) in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    light, dark = (
        "".join(f"--{row[0]}:{row[shade]};" for row in COLOURS.values()) for shade in (1, 2)
    )
    style = f"svg{{{light}}}@media(prefers-color-scheme:dark){{svg{{{dark}}}}}"
    head, tag, rest = svg.partition("<defs>")
    return f"{head}<style>{style}</style>\n {tag}{rest}"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.charts", description=__doc__)
    parser.add_argument("--results", type=Path, default=PUBLISHED, help="figures of one run")
    parser.add_argument("--pictures", type=Path, default=PICTURES, help="a folder")
    chosen = parser.parse_args(argv)
    results = json.loads(chosen.results.read_text(encoding="utf-8"))
    chosen.pictures.mkdir(parents=True, exist_ok=True)
    for name, keys in measured(results).items():
        picture = chosen.pictures / f"benchmark-{name}.svg"
        picture.write_text(draw(results, keys), encoding="utf-8")


if __name__ == "__main__":
    main()
