"""Turn a PDF into Markdown with a summary and an outline in front of it.

pip install .  # in a clone of the repository
ZAI_API_KEY=... python examples/workflows/pdf_to_markdown.py report.pdf report.md
"""

import asyncio
import sys
from base64 import b64encode
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from zai_async import AsyncZai


class Section(Struct):
    heading: str
    pages: Annotated[str, Meta(description="Such as 3-5.")]


class Outline(Struct):
    title: str
    summary: Annotated[str, Meta(description="Three sentences at most.")]
    sections: list[Section]


async def main(source: str, target: str) -> Outline:
    async with AsyncZai() as zai:
        data = await asyncio.to_thread(Path(source).read_bytes)
        encoded = f"data:application/pdf;base64,{b64encode(data).decode()}"
        layout = await zai.layout_parsing.parse(model="glm-ocr", file=encoded)
        answer = await zai.chat.completions.parse(
            Outline,
            model="glm-5.3",
            messages=f"Outline this document.\n\n{layout.text}",
        )
    outline = answer.parsed
    sections = "\n".join(
        f"- {each.heading} ({each.pages})" for each in outline.sections
    )
    head = f"# {outline.title}\n\n{outline.summary}\n\n{sections}\n\n---\n\n"
    await asyncio.to_thread(
        Path(target).write_text, head + layout.text, encoding="utf-8"
    )
    return outline


if __name__ == "__main__":
    print(asyncio.run(main(*sys.argv[1:3])).title)
