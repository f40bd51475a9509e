"""How long the page of `zai ui` keeps the browser busy with an answer of 200 KB at full speed.

    make ui && python -m benchmarks.chat_page

Answers of five shapes come from the emulator at once. For each are told: the longest task of the
page's main thread by its own processor time, which no other program on the machine makes longer,
and how many tasks took longer than 50 ms by the clock (`PerformanceObserver`, "longtask"), which
on a machine without other work should be none.
"""

import asyncio
import random

from tests.browser import CHROMIUM, Page, running_chromium, tabs_of_new_profile
from tests.chat_app import chat_app
from zai_async.testing import Emulator
from zai_async.web.ui import is_bundled

SIZE = 200_000
WORDS = "the quick brown fox jumps over a lazy dog while **bold** and `code` stand".split()  # noqa: SIM905 - shorter
WATCH = """
window.tasks = [];
new PerformanceObserver((list) => list.getEntries().forEach((entry) => tasks.push(entry.duration)))
    .observe({ type: 'longtask' });
document.querySelector('#prompt').focus();
"""
SHOWN = """
document.querySelector('.turn.assistant .again')
    && [...document.querySelectorAll('.markdown')].every((each) => each.ariaBusy === 'false')
"""


def mixed() -> str:
    chance = random.Random(1)
    parts: list[str] = []
    while sum(map(len, parts)) < SIZE:
        words = chance.choices(WORDS, k=70)
        items = [f"{number}. {' '.join(words[number : number + 12])}" for number in range(1, 9)]
        rows = [f"| {' | '.join(words[number : number + 3])} |" for number in range(8)]
        shapes = [
            "## " + " ".join(words[:5]),
            " ".join(words),
            "\n".join(items),
            "\n".join(["| a | b | c |", "|---|---|---|", *rows]),
            "```python\n" + "def f(x):\n    return 'x' * 7  # comment\n" * 15 + "```",
        ]
        parts.append(chance.choice(shapes))
    return "\n\n".join(parts)


def answers() -> dict[str, str]:
    line = "def f(x): return 'x' * 7  # comment\n"
    item = "1. an **item** with some `words` in it and more of them\n"
    row = "| a cell of it | and **another** cell |\n"
    text = "a word and **more** of it "
    return {
        "everything": mixed(),
        "one block of code": f"```python\n{line * (SIZE // len(line))}```",
        "one list": item * (SIZE // len(item)),
        "one table": "| a | b |\n|---|---|\n" + row * (SIZE // len(row)),
        "one paragraph": text * (SIZE // len(text)),
    }


async def longest_task(page: Page) -> float:
    """Ask for an answer, and return the processor time of the longest task in milliseconds."""
    traced = "toplevel,devtools.timeline,disabled-by-default-devtools.timeline"
    events = await page.traced(page.type("Go"), SHOWN, traced.split(","))
    # The thread of the page is the one that runs its functions most.
    threads = [(e["pid"], e["tid"]) for e in events if e["name"] == "FunctionCall"]
    main = max(set(threads), key=threads.count)
    tasks = [e for e in events if e["name"] == "RunTask" and (e["pid"], e["tid"]) == main]
    return max(task.get("tdur", 0) for task in tasks) / 1000


async def measure(port: str, name: str, answer: str) -> None:
    with Emulator(pace=0) as emulator:
        emulator.chat.reply(answer, thinking="Hm.", chunk_size=24)
        async with chat_app(emulator) as url, tabs_of_new_profile(port) as [page]:
            await page.look()
            await page.open(url)
            await page.wait("document.querySelector('#prompt')")
            await page.evaluate(WATCH)
            busy = await longest_task(page)
            long = await page.evaluate("tasks.map(Math.round)")
    print(f"{name:18} {len(answer) / 1000:4.0f} KB  {busy:5.1f} ms  {len(long)} over 50 ms: {long}")


def main() -> None:
    if not (CHROMIUM and is_bundled()):
        raise SystemExit("needs Chromium, and the page: `make ui`")
    with running_chromium() as port:
        for name, answer in answers().items():
            asyncio.run(measure(port, name, answer))


if __name__ == "__main__":
    main()
