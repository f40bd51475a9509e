"""A notebook: a real kernel, cells that await, and what becomes of a cell that is interrupted."""

import asyncio
import math

import pytest

pytest.importorskip("ipykernel")
pytest.importorskip("nbclient")

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = pytest.mark.usefixtures("children_unmeasured")
OPEN = "from zai_async import AsyncZai\nzai = AsyncZai()"
ASK = "answer = await zai.chat.completions.create(model='glm-5.3', messages='Hi')\nanswer.text"
BLOCKING = """\
from zai_async.sync import Zai
with Zai() as client:
    text = client.chat.completions.create(model="glm-5.3", messages="Hi").text
text
"""


class Notebook:
    """Cells of one kernel."""

    def __init__(self, client):
        self.client = client

    async def run(self, source):
        cell = new_code_cell(source)
        self.client.nb.cells.append(cell)
        await self.client.async_execute_cell(cell, len(self.client.nb.cells) - 1)
        return "".join(
            output.get("text") or output.get("data", {}).get("text/plain", "")
            for output in cell.outputs
        )

    async def restart(self):
        await self.client.km.restart_kernel(now=True)
        await self.client.kc.wait_for_ready()


def in_a_kernel(story, zai_emulator, monkeypatch):
    """Tell a story in a loop of its own: that of the client of kernels leaves things behind."""
    monkeypatch.setenv("ZAI_BASE_URL", zai_emulator.url)
    monkeypatch.setenv("ZAI_API_KEY", "test")

    async def tell():
        client = NotebookClient(new_notebook(), kernel_name="python3", timeout=None)
        async with client.async_setup_kernel():
            await story(Notebook(client))

    asyncio.run(tell())


def test_cells_await_and_share_their_connections(zai_emulator, monkeypatch):
    zai_emulator.chat.reply("Hello", times=None)

    async def story(notebook):
        await notebook.run(OPEN)
        assert await notebook.run(ASK) == "'Hello'"
        assert await notebook.run(ASK) == "'Hello'"
        assert zai_emulator.connections == 1
        # Without await in the same kernel, and with a second loop of a cell's own.
        assert await notebook.run(BLOCKING) == "'Hello'"
        threaded = (
            "import asyncio\nfrom concurrent.futures import ThreadPoolExecutor\n"
            "async def ask():\n"
            "    return (await zai.chat.completions.create(model='glm-5.3', messages='Hi')).text\n"
            "ThreadPoolExecutor().submit(lambda: asyncio.run(ask())).result()"
        )
        assert await notebook.run(threaded) == "'Hello'"
        await notebook.run("await zai.aclose()")

    in_a_kernel(story, zai_emulator, monkeypatch)


def test_a_kernel_that_is_restarted_leaves_no_connection(zai_emulator, monkeypatch):
    zai_emulator.chat.reply("Hello", times=None)

    async def story(notebook):
        await notebook.run(OPEN)
        assert await notebook.run(ASK) == "'Hello'"
        await notebook.restart()
        await zai_emulator.wait_closed()
        with pytest.raises(CellExecutionError, match="name 'zai' is not defined"):
            await notebook.run(ASK)
        await notebook.run(OPEN)
        assert await notebook.run(ASK) == "'Hello'"
        await notebook.run("await zai.aclose()")

    in_a_kernel(story, zai_emulator, monkeypatch)


@pytest.mark.parametrize("cell", [ASK, BLOCKING], ids=["awaits", "blocks"])
def test_an_interrupted_cell_closes_its_connection(zai_emulator, monkeypatch, cell):
    async def story(notebook):
        await notebook.run(OPEN)
        zai_emulator.fault(silence_after=(0, math.inf), hang=True)
        running = asyncio.create_task(notebook.run(cell))
        await zai_emulator.wait_requests()
        await notebook.client.km.interrupt_kernel()
        notebook.client.kc.kernel_info()  # it cancels a cell, but only a message wakes its loop
        with pytest.raises(CellExecutionError, match=r"KeyboardInterrupt|CancelledError"):
            await running
        await zai_emulator.wait_disconnected()
        assert await notebook.run(ASK)
        await notebook.run("await zai.aclose()")

    in_a_kernel(story, zai_emulator, monkeypatch)
