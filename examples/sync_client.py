"""Ask without `await`: a whole answer, a stream, and a task.

pip install .  # in a clone of the repository
python examples/sync_client.py --emulate  # no key needed
ZAI_API_KEY=... python examples/sync_client.py
"""

import os
import sys
from contextlib import ExitStack

from zai_async.sync import Zai


def main() -> None:
    with Zai() as zai:
        print(zai.chat.completions.create(model="glm-5.3", messages="Hi").text)

        with zai.chat.completions.stream(model="glm-5.3", messages="Hi") as stream:
            for text in stream.text:
                print(text, end="", flush=True)
            print(stream.usage)

        task = zai.videos.submit(model="cogvideox-3", prompt="a lighthouse in a storm")
        print(task.wait(timeout=900).url)


if __name__ == "__main__":
    with ExitStack() as stack:
        if "--emulate" in sys.argv:
            from zai_async.testing import Emulator

            emulator = stack.enter_context(Emulator())
            os.environ.update(ZAI_BASE_URL=emulator.url, ZAI_API_KEY="emulated")
        main()
