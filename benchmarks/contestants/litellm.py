"""litellm, told that the server speaks OpenAI's protocol; it comes with an openai of its own."""

import os

from benchmarks.contestants import MODEL, QUESTION

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks github.com for prices
import litellm


class Contestant:
    imports = "import litellm"
    most = 100

    def __init__(self, url):
        self._where = {"model": f"openai/{MODEL}", "api_base": url, "api_key": "benchmark.key"}

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def stream(self, seen):
        async for _ in await litellm.acompletion(**self._where, messages=QUESTION, stream=True):
            seen()

    async def ask(self):
        answer = await litellm.acompletion(**self._where, messages=QUESTION)
        return answer.choices[0].message.content
