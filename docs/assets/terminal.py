"""Draw `terminal.svg`, the picture of a streaming terminal in the README.

    python docs/assets/terminal.py

What it shows is what `zai chat` prints, on a terminal, for a scripted answer of the emulator. Each
piece of text appears when the animation comes to it; readers who want no motion see all of it.
"""

import html
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from zai_async.testing import Emulator

PICTURE = Path(__file__).with_name("terminal.svg")
QUESTION = "Why is the sky blue?"
THINKING = "Scattering grows with the fourth power of frequency; keep it short."
ANSWER = (
    "Air scatters blue light about ten times as strongly\n"
    "as red light. So blue reaches your eyes from all\n"
    "directions, and the sun itself looks yellow.\n"
)
COLUMNS, LINE, LEFT, TOP = 72, 22, 20, 58
# Seconds from one piece to the next.
PACE = 0.12
DIM, PLAIN = "\x1b[2m", "\x1b[0m"


def shown() -> str:
    """Return what the terminal gets."""
    with Emulator() as emulator:
        emulator.chat.reply(ANSWER, thinking=THINKING, chunk_size=9)
        master, slave = pty.openpty()
        environment = os.environ | {
            "TERM": "xterm",
            "ZAI_API_KEY": "id.secret",
            "ZAI_BASE_URL": emulator.url,
            "ZAI_HISTORY": "off",
        }
        environment.pop("NO_COLOR", None)
        program = "import sys; from zai_async.cli import main; sys.exit(main())"
        process = subprocess.Popen(  # noqa: S603 - this interpreter
            [sys.executable, "-c", program, "chat", QUESTION],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
        )
        os.close(slave)
        screen = b""
        while piece := read(master):
            screen += piece
        process.wait()
    return screen.decode().replace("\r\n", "\n")


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux says that the program has ended
        return b""


def draw(screen: str) -> str:
    """Return the picture of a screen."""
    # Times and ids are others on each run.
    screen = re.sub(r"\d+\.\d s · \d+ tokens/s( · \w+)?", "1.9 s · 43 tokens/s", screen)
    pieces = re.findall(r"\x1b\[[0-9;]*m|\n|[^\x1b\n]{1,9}", screen)
    spans, line, column, dim, step = [], 1, 0, False, 0
    for piece in pieces:
        if piece in {DIM, PLAIN}:
            dim = piece == DIM
        elif piece == "\n":
            line, column = line + 1, 0
        else:
            x, y = LEFT + column * 8.4, TOP + line * LINE
            kind = "dim" if dim else "out"
            text = html.escape(piece).replace(" ", "\u00a0")
            delay = f"{0.8 + step * PACE:.2f}s"
            spans.append(
                f'<text class="{kind}" x="{x:g}" y="{y}" style="animation-delay:{delay}">'
                f"{text}</text>"
            )
            column, step = column + len(piece), step + 1
    height, width = TOP + (line + 1) * LINE, round(LEFT * 2 + COLUMNS * 8.4)
    prompt = f'<tspan class="green">$</tspan> zai chat "{QUESTION}"'
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {ROLE}>',
            STYLE,
            f'<rect width="{width}" height="{height}" rx="10" fill="#1d2129"/>',
            *(
                f'<circle cx="{24 + 20 * n}" cy="22" r="6" fill="{colour}"/>'
                for n, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
            ),
            f'<text class="in" x="{LEFT}" y="{TOP}">{prompt}</text>',
            *spans,
            "</svg>\n",
        ]
    )


ROLE = 'role="img" aria-label="zai chat in a terminal"'
STYLE = """<style>
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #e6e9ef; }
.out, .dim { opacity: 0; animation: appear 0.01s forwards; }
.dim { fill: #8b93a3; }
.green { fill: #7ee2a8; }
@keyframes appear { to { opacity: 1; } }
@media (prefers-reduced-motion: reduce) { .out, .dim { opacity: 1; animation: none; } }
</style>"""


if __name__ == "__main__":
    PICTURE.write_text(draw(shown()), encoding="utf-8")
