"""Translate a text with a glossary, and tell which of its terms the translation does not have.

    pip install .  # in a clone of the repository
    ZAI_API_KEY=... python examples/workflows/translate_with_glossary.py manual.txt terms.csv de

Each line of the glossary is a term and its translation, such as `limiter,Begrenzer`.
"""

import asyncio
import csv
import sys
from pathlib import Path

from zai_async import AsyncZai


async def main(source: str, glossary: str, language: str) -> tuple[str, list[str]]:
    text = await asyncio.to_thread(Path(source).read_text, encoding="utf-8")
    terms = await asyncio.to_thread(Path(glossary).read_text, encoding="utf-8")
    async with AsyncZai() as zai:
        uploaded = await zai.files.create(file=Path(glossary), purpose="agent")
        answer = await zai.agents.invoke(
            agent_id="general_translation",
            messages=[
                {"role": "user", "content": [{"type": "text", "text": text}]}
            ],
            custom_variables={"target_lang": language, "glossary": uploaded.id},
        )
    translation = answer.text
    missed = [
        f"{row[0]} -> {row[1]}"
        for row in csv.reader(terms.splitlines())
        if row[0].lower() in text.lower()
        and row[1].lower() not in translation.lower()
    ]
    return translation, missed


if __name__ == "__main__":
    translated, missing = asyncio.run(main(*sys.argv[1:4]))
    print(translated)
    for each in missing:
        print(f"not used: {each}", file=sys.stderr)
