"""Answer a question from the web, with the pages that the answer cites below it.

pip install .  # in a clone of the repository
ZAI_API_KEY=... python examples/workflows/grounded_answer.py "What is new in Lisbon?"
"""

import asyncio
import re
import sys

from zai_async import AsyncZai

SEARCH = {
    "enable": True,
    "search_engine": "search-prime",
    "search_result": True,
    "count": 8,
}
ASK = (
    "Answer from what was found alone, and cite each page that you use as [ref_1]."
)


async def main(question: str) -> str:
    async with AsyncZai() as zai:
        answer = await zai.chat.completions.create(
            model="glm-5.3",
            messages=[
                {"role": "system", "content": ASK},
                {"role": "user", "content": question},
            ],
            tools=[{"type": "web_search", "web_search": SEARCH}],
        )
    pages = {page.refer: page for page in answer.web_search}
    # In the order in which the answer cites them; a mark without a page is not made up.
    cited = [
        mark
        for mark in dict.fromkeys(re.findall(r"ref_\d+", answer.text))
        if mark in pages
    ]
    numbers = {mark: number for number, mark in enumerate(cited, start=1)}
    text = re.sub(
        r"\[?\b(ref_\d+)\b\]?",
        lambda found: f"[{numbers[found[1]]}]" if found[1] in numbers else "",
        answer.text,
    )
    lines = [
        f"[{numbers[mark]}] {pages[mark].title} {pages[mark].link}"
        for mark in cited
    ]
    return "\n".join([text.strip(), "", *lines]) if lines else text.strip()


if __name__ == "__main__":
    print(asyncio.run(main(" ".join(sys.argv[1:]))))
