"""Draw what the limiter does: `python -m benchmarks.limiter_pictures`.

One picture for a scenario: the window, the requests in flight, what an oracle would have in flight,
and the refusals of each moment, over time. The page about the limiter shows them. The same code
gives the same bytes.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.limiter import (
    MEDIUM,
    QUICK,
    SHORT,
    STREAMED,
    Moment,
    Scenario,
    in_weather,
    incident,
    ours,
    play,
)
from benchmarks.limiter_world import Rate

PICTURES: Final = Path(__file__).parents[1] / "docs" / "assets"
_WIDTH, _HEIGHT, _LEFT, _RIGHT = 640, 250, 44, 628
_TOP, _MIDDLE, _BOTTOM = 30, 165, 225
_POINTS: Final = 150
_STYLE: Final = (
    "svg{--ink:#1f2328;--faint:#656d76;--window:#0969da;--flight:#8fb9e8;--bad:#cf222e;"
    "font:11px sans-serif}"
    "@media(prefers-color-scheme:dark){svg{--ink:#e6edf3;--faint:#9198a1;--window:#4493f8;"
    "--flight:#2f5d94;--bad:#f85149}}"
    "text{fill:var(--faint)}.title{fill:var(--ink);font-weight:bold}path{fill:none}"
    ".window{stroke:var(--window);stroke-width:1.6}.flight{fill:var(--flight);opacity:.7}"
    ".truth{stroke:var(--ink);stroke-dasharray:3 3}.bad{fill:var(--bad)}"
)


class Picture(NamedTuple):
    """A scenario, and how long to watch it."""

    name: str
    title: str
    scenario: Scenario
    seconds: float
    truth: Callable[[float], float] | None = None
    """The limit of each moment, where there is one."""


def others(moment: float) -> int:
    """Return what other clients leave of a limit of 20."""
    return 20 - 4 * (int(moment / 120) % 4)


def fallen(moment: float) -> int:
    """Return a limit that falls."""
    return 50 if moment < 30 else 4


def busy(scenario: Scenario, seconds: float) -> Scenario:
    """Return the scenario with users who ask again and again."""
    return replace(scenario, rows=0, users=100, until=seconds)


def pictures() -> list[Picture]:
    """Return what the page shows, in its order."""
    ten = Scenario("limit 10", SHORT, lambda _m, _t: 10, 10)
    streams = replace(ten, service=STREAMED)
    rain = replace(in_weather(MEDIUM, 0.1), until=60.0)
    return [
        Picture("limit", "A hidden limit of 10", busy(ten, 60), 60, lambda _: 10),
        Picture("weather", "10 % are refused at random, 1305", rain, 60),
        Picture(
            "disguise",
            "10 % are refused at random, 1302",
            replace(in_weather(QUICK, 0.1, "concurrency"), until=60.0),
            60,
        ),
        Picture("incident", "50 % are refused for 30 s", incident(MEDIUM, 0.5), 120),
        Picture(
            "mixed",
            "A limit of 10, and 5 % are refused at random",
            replace(busy(ten, 60), weather=lambda _: 0.05),
            60,
            lambda _: 10,
        ),
        Picture(
            "fallen",
            "A limit of 50 falls to 4",
            replace(busy(ten, 60), limit=lambda _, t: fallen(t)),
            60,
            fallen,
        ),
        Picture(
            "others",
            "Others leave 8 to 20, streams of 10 s",
            replace(busy(streams, 600), limit=lambda _, t: others(t)),
            600,
            others,
        ),
        Picture(
            "restart",
            "A limit of 10, streams of 10 s, a restart",
            replace(busy(streams, 120), restarts=(60.0,)),
            120,
            lambda _: 10,
        ),
        Picture(
            "rate",
            "A rate of 10 requests per second",
            Scenario("rate", QUICK, rate=Rate(10, 5), until=60.0),
            60,
        ),
    ]


def draw(picture: Picture, moments: Sequence[Moment]) -> str:
    """Return the picture as SVG, small enough to be read."""
    seconds = picture.seconds
    # A window that nobody fills tells nothing.
    shown = [min(each.window, 4 * max(each.in_flight, 5)) for each in moments]
    high = 1.15 * max(*shown, *(each.in_flight for each in moments), 5)
    refused = [later.refused - one.refused for one, later in pairwise(moments)]
    most = max(*refused, 1)

    def across(moment: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * moment / seconds

    def up(number: float) -> float:
        return _MIDDLE - (_MIDDLE - _TOP) * number / high

    def steps(numbers: Sequence[float]) -> str:
        way, before = f"M{across(moments[0].time):.0f} {up(numbers[0]):.0f}", numbers[0]
        for each, number in zip(moments, numbers, strict=True):
            if round(up(number)) != round(up(before)):
                way += f"H{across(each.time):.0f}V{up(number):.0f}"
                before = number
        return f"{way}H{across(seconds):.0f}"

    flight = steps([each.in_flight for each in moments])
    bars = "".join(
        f"M{across(each.time):.0f} {_BOTTOM}h2v-{max(2, 40 * count / most):.0f}h-2z"
        for each, count in zip(moments, refused, strict=False)
        if count
    )
    last = moments[-1]
    note = (
        f"refused: {last.refused} of {last.refused + last.done}, "
        f"at most {most} in {seconds / _POINTS:.1f} s"
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        f"<title>{picture.title}</title><style>{_STYLE}</style>",
        f'<text class="title" x="{_LEFT}" y="16">{picture.title}</text>',
        f'<path class="flight" d="{flight}V{_MIDDLE}H{_LEFT}z"/>',
        f'<path class="window" d="{steps(shown)}"/>',
        f'<path class="bad" d="{bars}"/>',
        f'<text x="4" y="{up(high / 1.15):.0f}">{high / 1.15:.0f}</text>',
        f'<text x="4" y="{_MIDDLE}">0</text>',
        f'<text x="{_LEFT}" y="{_MIDDLE + 14}">{note}</text>',
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}">0 s</text>',
        f'<text x="{_RIGHT}" y="{_HEIGHT - 8}" text-anchor="end">{seconds:.0f} s</text>',
    ]
    if picture.truth is not None:
        truth = [float(picture.truth(each.time)) for each in moments]
        parts.append(f'<path class="truth" d="{steps(truth)}"/>')
    return "\n".join([*parts, "</svg>", ""])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limiter_pictures")
    parser.add_argument("--pictures", type=Path, default=PICTURES, help="a folder")
    parser.add_argument("--only", default="", help="the name of one picture")
    chosen = parser.parse_args(argv)
    for picture in pictures():
        if chosen.only in {"", picture.name}:
            result = play(picture.scenario, ours, every=picture.seconds / _POINTS)
            moments = [each for each in result.moments if each.time < math.inf]
            text = draw(picture, moments)
            (chosen.pictures / f"limiter-{picture.name}.svg").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
