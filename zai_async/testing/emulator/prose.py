"""Texts that read like a model's answer, the same for the same seed and prompt."""
# ruff: noqa: RUF001 - Chinese text has Chinese punctuation

from __future__ import annotations

import re
from functools import lru_cache
from random import Random

# Characters that are read and quoted: neither work nor answers grow with what a client sends.
QUOTED = 2_000
# About as many tokens as the real tokenizer finds; all that matters is that they join again.
_TOKEN = re.compile(r"\s?[A-Za-z0-9_]{1,8}|\s?[^\sA-Za-z0-9_]|\s")
_HAN = re.compile(r"[\u4e00-\u9fff]")
_CODE = re.compile(
    r"\b(code|function|script|python|program|sample|regex|sql)\b|代码|函数", re.IGNORECASE
)

_OPENINGS = (
    "Good question! Here is the short version.",
    "Let me take that step by step.",
    "Sure, here is what matters most. ✨",
    "Happy to help with that.",
)
_POINTS = (
    "**Start small.** One working example tells you more than a page of plans.",
    "**Measure first.** Guesses about speed are wrong more often than right 📏.",
    "**Name things well.** `retry_after` says more than `value2`.",
    "**Handle the unhappy path.** Networks fail, and usually at the worst moment.",
    "**Keep the pieces apart.** Parsing, deciding and sending are three different jobs.",
    "**Read the error.** It often carries the answer, down to the request id.",
    "**Stream when people wait.** The first words count more than the last ones 🚀.",
)
_CLOSINGS = (
    "Tell me which part you would like to see in more depth. 🙂",
    "That is the core of it; the rest is detail.",
    "Shall I go on with an example of your own? 🌱",
)
_LOOP = """\
```python
import asyncio


async def main() -> None:
    async for event in events():
        print(event.data, end="", flush=True)


asyncio.run(main())
```"""
_SLICES = """\
```python
def chunks(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]
```"""
_CODES = (_LOOP, _SLICES)
_CHINESE_OPENINGS = (
    "好的，我来说明一下。",
    "这是一个很好的问题！😊",
    "没问题，下面分几点来看。",
)
_CHINESE_POINTS = (
    "**先从小处着手**：一个能运行的例子胜过许多计划。",
    "**先测量再优化**：直觉常常是错的 📏。",
    "**处理异常情况**：网络总会在最不合适的时候中断。",
    "**保持结构清晰**：解析、决策和发送是三件不同的事。",
    "**用流式输出**：用户更在意第一个字何时出现 🚀。",
)
_CHINESE_CLOSINGS = ("需要我继续展开哪一部分吗？🙂", "以上就是要点，希望对你有帮助。🌱")
_Pools = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
_ENGLISH: _Pools = (_OPENINGS, _POINTS, _CLOSINGS)
_CHINESE: _Pools = (_CHINESE_OPENINGS, _CHINESE_POINTS, _CHINESE_CLOSINGS)
_THOUGHTS = (
    "The user asks about {topic}. ",
    "I should keep the answer short and practical. ",
    "A list is easier to read than one long paragraph. ",
    "Let me check whether an example would help... yes, a small one. ",
    "I must not promise anything I cannot show. ",
)
_CHINESE_THOUGHTS = ("用户问的是{topic}。", "回答应该简短而实用。", "列几个要点会更清楚。")


def tokens(text: str) -> list[str]:
    """Cut a text into token-sized pieces that join back to it exactly."""
    return _TOKEN.findall(text)


@lru_cache(maxsize=256)
def token_count(text: str) -> int:
    """Return how many of these pieces a text has; answers are counted for their time and usage."""
    return len(tokens(text))


def random_for(seed: int, *parts: str) -> Random:
    """Return a source of choices that depends on nothing but the seed and these texts."""
    return Random("\0".join((str(seed), *parts)))  # noqa: S311 - prose, not secrets


def is_chinese(text: str) -> bool:
    """Whether a text holds Chinese characters."""
    return _HAN.search(text[:QUOTED]) is not None


def topic_of(prompt: str) -> str:
    """Return the beginning of a prompt in one line, to quote it."""
    line = " ".join(prompt[:QUOTED].split())
    return line if len(line) <= 60 else line[:59] + "…"


def answer_text(prompt: str, random: Random) -> str:
    """Write a Markdown answer in the prompt's language, with code when it asks for code."""
    if known := known_answer(prompt):
        return known[0]
    if is_chinese(prompt):
        openings, points, closings = _CHINESE
    else:
        openings, points, closings = _ENGLISH
    # Beyond ASCII on purpose: escapes, cut characters and surrogate pairs want to be tested.
    bullets = "\n".join(f"- {point}" for point in random.sample(points, 3))
    parts = [random.choice(openings), f"> {topic_of(prompt)}", bullets]
    if _CODE.search(prompt[:QUOTED]):
        parts.append(random.choice(_CODES))
    return "\n\n".join([*parts, random.choice(closings)])


def thinking_text(prompt: str, random: Random) -> str:
    """Write a short chain of thought about the prompt."""
    if known := known_answer(prompt):
        return known[1]
    # Thoughts in the language of the prompt, as the models do.
    pool = _CHINESE_THOUGHTS if is_chinese(prompt) else _THOUGHTS
    first, *rest = pool
    thoughts = [first.format(topic=topic_of(prompt)), *random.sample(rest, 2)]
    return "".join(thoughts).strip()


def result_text(prompt: str, result: str) -> str:
    """Write the answer that follows a tool's result, of which it quotes the beginning."""
    result = result[:QUOTED]
    if is_chinese(prompt):
        return f"根据工具返回的结果：{result} ✅"
    return f"According to the tool: {result} ✅"


# The questions that the examples ask, answered properly: a demonstration should make sense

_SSE = """\
**Server-sent events** are a plain text format over one long HTTP response: the server writes \
`data:` lines, and a blank line ends each event. They suit anything that grows while it is \
watched, such as the answer of a language model, because every piece can be shown at once 🚀.

```python
from zai_async import AsyncZai

async with AsyncZai() as zai:
    async with zai.chat.completions.stream(model="glm-5.3", messages="Hello!") as stream:
        async for text in stream.text:
            print(text, end="", flush=True)
```"""
_SSE_THOUGHT = (
    "The user wants two sentences about server-sent events, and code. "
    "First sentence: what they are. Second: what they are good for. "
    "For the code, a stream that prints each piece as it arrives says it best."
)
_SKY = """\
Sunlight holds all colours, and the molecules of the air scatter **short waves far more than long \
ones**: blue about four times as much as red (it goes with 1/λ⁴). So blue light reaches your eye \
from every direction of the sky 🌍, while the sun itself looks a little yellower than it is.

At sunset the light takes a longer way through the air, most of the blue is gone by then, and what \
is left is orange and red 🌅."""
_SKY_THOUGHT = (
    "A classic: Rayleigh scattering. I should name the reason, give the dependence on wavelength, "
    "and mention sunset, because that is what people ask next."
)
_KNOWN = (
    (re.compile(r"\bSSE\b|server-sent events?", re.IGNORECASE), _SSE, _SSE_THOUGHT),
    (re.compile(r"\bsky\b.*\bblue\b", re.IGNORECASE | re.DOTALL), _SKY, _SKY_THOUGHT),
)


def known_answer(prompt: str) -> tuple[str, str] | None:
    """Return the answer and the thought for a question that is expected, None for any other."""
    # Only the beginning is read: on a long prompt without "blue" the search is quadratic.
    for question, answer, thought in _KNOWN:
        if question.search(prompt[:QUOTED]):
            return answer, thought
    return None
