"""openai-python with aiohttp under it: `pip install openai[aiohttp]`; retries are off."""

from openai import AsyncOpenAI, DefaultAioHttpClient

from benchmarks.contestants.openai_default import Contestant as Default


class Contestant(Default):
    imports = "import openai"
    opens = "openai.AsyncOpenAI(api_key='k', http_client=openai.DefaultAioHttpClient())"
    parse = None  # that of openai_default

    def __init__(self, url):
        AsyncOpenAI.__init__(
            self,
            api_key="benchmark.key",
            base_url=url,
            max_retries=0,
            timeout=600.0,
            http_client=DefaultAioHttpClient(),
        )
