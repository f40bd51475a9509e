"""The questions that the examples ask, answered properly: a demonstration should make sense."""

from __future__ import annotations

import re

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
    for question, answer, thought in _KNOWN:
        if question.search(prompt):
            return answer, thought
    return None
