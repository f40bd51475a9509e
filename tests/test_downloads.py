"""Downloads: whole or not there, with no key, never more than allowed, never outside."""

import asyncio
import contextlib
import copy
import errno
import os
import pickle
import struct
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.calls import KEY, FakeClock
from tests.virtual_loop import in_virtual_time
from zai_async import (
    AsyncZai,
    ConfigurationError,
    ConnectionLostError,
    InvalidFileError,
    LimitError,
    RequestTimeoutError,
    ResponseError,
    Timeout,
)
from zai_async._threads import to_the_end
from zai_async.downloads import PartialFile, file_name
from zai_async.models import Video, VideoFile
from zai_async.testing import Emulator, FakeReply, FakeTransport

URL = "https://cdn.example/films/film.mp4?signature=CanaryCanary"
DATA = (b"\0" * 1000, b"\1" * 500)
SIZE = 1500


def data(*pieces, status=200, **headers):
    return FakeReply(status=status, headers=dashed(headers), steps=pieces or DATA)


def dashed(headers):
    return {name.replace("_", "-"): value for name, value in headers.items()}


def moved(to, status=302):
    return FakeReply(status=status, headers={"Location": to})


def client(transport, **changes):
    return AsyncZai(**{"api_key": KEY, "transport": transport, "clock": FakeClock()} | changes)


async def fetch(tmp_path, *script, to="", url=URL, clocks=None, **options):
    transport = FakeTransport(*script)
    async with client(transport, timeout=clocks) as zai:
        try:
            path = await zai.download(url, to or tmp_path, **options)
        finally:
            assert transport.open_responses == 0
    assert all(not request.secret_headers for request in transport.requests)
    return path, transport


async def refused(tmp_path, cls, *script, **options):
    with pytest.raises(cls) as info:
        await fetch(tmp_path, *script, **options)
    assert list(tmp_path.iterdir()) == []
    assert "Canary" not in str(info.value)
    return info.value


# Where the file goes


async def test_a_file_goes_into_a_directory_under_its_own_name(tmp_path):
    path, _ = await fetch(tmp_path, data())
    assert path == tmp_path / "film.mp4"
    assert path.read_bytes() == b"".join(DATA)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", [str, Path])
async def test_a_file_takes_the_name_that_the_caller_gives(tmp_path, kind):
    path, _ = await fetch(tmp_path, data(), to=kind(tmp_path / "mine.bin"))
    assert path == tmp_path / "mine.bin"
    assert path.stat().st_size == SIZE


async def test_a_directory_is_made_if_it_is_named_as_one(tmp_path):
    path, _ = await fetch(tmp_path, data(), to=f"{tmp_path}/new/deep/")
    assert path == tmp_path / "new" / "deep" / "film.mp4"
    assert path.is_file()
    path, _ = await fetch(tmp_path, data(), to=f"{tmp_path}/new/deep/")
    assert path == tmp_path / "new" / "deep" / "film-2.mp4"


async def test_a_file_that_the_caller_names_is_replaced(tmp_path):
    mine = tmp_path / "mine.mp4"
    mine.write_bytes(b"old")
    path, _ = await fetch(tmp_path, data(), to=mine)
    assert path == mine
    assert mine.stat().st_size == SIZE


@pytest.fixture(params=[True, False], ids=["links", "no links"])
def links(request, monkeypatch):
    """Some file systems have no links."""

    def refuse(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    if not request.param:
        monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("links")
async def test_a_file_that_the_server_names_replaces_nothing(tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"dear")
    (tmp_path / "film-3.mp4").symlink_to("nowhere")
    paths = [(await fetch(tmp_path, data(b"%d" % number)))[0] for number in range(3)]
    assert [path.name for path in paths] == ["film-2.mp4", "film-4.mp4", "film-5.mp4"]
    assert [path.read_bytes() for path in paths] == [b"0", b"1", b"2"]
    assert (tmp_path / "film.mp4").read_bytes() == b"dear"
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.usefixtures("links")
async def test_files_of_one_name_that_arrive_together_are_all_kept(tmp_path):
    fetches = [fetch(tmp_path, data(b"%d" % number)) for number in range(20)]
    paths = [path for path, _ in await asyncio.gather(*fetches)]
    assert {path.read_bytes() for path in paths} == {b"%d" % number for number in range(20)}
    assert sorted(paths) == sorted(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x" * 255, "x" * 251 + ".mp4"])
async def test_a_name_of_the_caller_may_be_as_long_as_any(tmp_path, name):
    path, _ = await fetch(tmp_path, data(), to=tmp_path / name)
    assert path.name == name


@pytest.mark.parametrize(
    ("told", "cut"),
    [
        ("x" * 300 + ".mp4", "x" * 196 + ".mp4"),
        ("x" * 300 + "." + "y" * 50, "x" * 159 + "." + "y" * 40),
    ],
)
def test_a_name_has_two_hundred_bytes_at_most(told, cut):
    assert file_name("", {"Content-Disposition": f"attachment; filename={told}"}) == cut
    assert len(cut) == 200


async def test_a_long_name_of_the_server_is_cut(tmp_path):
    name = "%E5%9B%BE" * 100 + ".png"
    field = f"attachment; filename*=UTF-8''{name}"
    paths = [(await fetch(tmp_path, data(Content_Disposition=field)))[0] for _ in range(2)]
    assert [path.name for path in paths] == ["图" * 65 + ".png", "图" * 65 + "-2.png"]


async def test_a_path_that_cannot_be_written_is_an_error_of_the_system(tmp_path):
    await refused(tmp_path, FileNotFoundError, data(), to=tmp_path / "missing" / "film.mp4")


async def test_a_directory_in_the_way_leaves_nothing_behind(tmp_path):
    target = tmp_path / "film.mp4"

    async def block(*_):
        await anyio.Path(target).mkdir(exist_ok=True)

    with pytest.raises(OSError, match=r"film\.mp4"):
        await fetch(tmp_path, data(), to=target, on_progress=block)
    assert list(tmp_path.rglob("*")) == [target]


async def test_a_directory_of_the_name_is_left_alone(tmp_path):
    (tmp_path / "film.mp4").mkdir()
    path, _ = await fetch(tmp_path, data())
    assert path == tmp_path / "film-2.mp4"


# What is sent


async def test_no_credential_is_sent_to_the_storage(tmp_path):
    _, transport = await fetch(tmp_path, data())
    (request,) = transport.requests
    assert (request.method, request.url, request.body) == ("GET", URL, None)
    assert request.headers.keys() == {"User-Agent", "Accept-Encoding"}
    assert (request.secret_headers, request.secret_query) == ({}, {})


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://cdn.example/film.mp4",
        "data:text/plain,x",
        "/film.mp4",
        "https://",
        "http://[::1",
        "",
    ],
)
async def test_only_the_web_is_downloaded_from(tmp_path, url):
    transport = FakeTransport(data())
    async with client(transport) as zai:
        with pytest.raises(ConfigurationError):
            await zai.download(url, tmp_path)
    assert transport.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed_anywhere_without_a_key(tmp_path, status):
    script = [moved("//other.example/a/b.mp4", status), moved("c.mp4", status), data()]
    path, transport = await fetch(tmp_path, *script)
    assert [request.url for request in transport.requests[1:]] == [
        "https://other.example/a/b.mp4",
        "https://other.example/a/c.mp4",
    ]
    assert path.name == "c.mp4"


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://cdn.example/film.mp4"])
async def test_a_redirect_leads_to_the_web_only(tmp_path, to):
    await refused(tmp_path, ResponseError, moved(to), data())


async def test_redirects_in_circles_come_to_an_end(tmp_path):
    error = await refused(tmp_path, ResponseError, moved(URL))
    assert "circles" in error.message


async def test_five_redirects_are_followed_and_not_one_more(tmp_path):
    await refused(tmp_path, ResponseError, *[moved("next.mp4")] * 6, data())
    path, transport = await fetch(tmp_path, *[moved("next.mp4")] * 5, data())
    assert (path.name, len(transport.requests)) == ("next.mp4", 6)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_store_that_names_a_wait_gets_it(tmp_path, status):
    busy = FakeReply(status=status, headers={"Retry-After": "30"})
    clock = FakeClock()
    async with client(FakeTransport(busy, data()), clock=clock) as zai:
        await zai.download(URL, tmp_path)
    assert clock.slept == [30.0]


@pytest.mark.parametrize(
    ("number", "cls"), [(errno.EMFILE, None), (errno.ENFILE, None), (errno.EIO, OSError)]
)
async def test_a_file_waits_while_too_many_others_are_open(tmp_path, monkeypatch, number, cls):
    genuine, failures, closed = PartialFile._open, [number, number], []

    def fail(self):
        if failures:
            raise OSError(failures.pop(), "of the system")
        genuine(self)

    monkeypatch.setattr(PartialFile, "_open", fail)
    monkeypatch.setattr(FakeTransport, "close_idle", lambda _: closed.append(1), raising=False)
    with contextlib.nullcontext() if cls is None else pytest.raises(cls, match="of the system"):
        path, _ = await fetch(tmp_path, data(), data(), data())
        assert path.stat().st_size == SIZE
    assert len(closed) == (2 if cls is None else 0)  # connections hold files as well


async def test_a_store_that_names_too_long_a_wait_is_not_waited_for(tmp_path):
    busy = FakeReply(status=503, headers={"Retry-After": "3600"})
    error = await refused(tmp_path, ResponseError, busy)
    assert error.retry_after == 3600.0


@pytest.mark.parametrize(
    ("reply", "retryable"),
    [
        (data(status=403), False),
        (data(status=404), False),
        (data(status=429), True),
        (data(status=503), True),
        (data(status=206), False),
        (FakeReply(status=302), False),
        (data(status=499), False),
        (data(status=500), True),
    ],
    ids=range(8),
)
async def test_something_else_than_the_file_is_refused(tmp_path, reply, retryable):
    error = await refused(tmp_path, ResponseError, reply)
    assert (error.status_code, error.retryable) == (reply.status, retryable)
    assert bool(error.hint) is (reply.status < 500)  # a busy storage says nothing about the address


# How much


async def test_an_announced_size_that_is_too_large_is_refused_at_once(tmp_path):
    reply, seen = data(Content_Length=str(SIZE)), []
    watched = {"max_bytes": SIZE - 1, "on_progress": lambda *step: seen.append(step)}
    error = await refused(tmp_path, LimitError, reply, **watched)
    assert (error.limit, seen) == (SIZE - 1, [])


async def test_a_file_that_grows_too_large_is_refused(tmp_path):
    await refused(tmp_path, LimitError, data(), max_bytes=SIZE - 1)


async def test_a_file_may_be_as_large_as_allowed(tmp_path):
    path, _ = await fetch(tmp_path, data(b"x"), max_bytes=1)
    assert path.read_bytes() == b"x"
    path, _ = await fetch(tmp_path, data(Content_Length=str(SIZE)), max_bytes=SIZE)
    assert path.stat().st_size == SIZE


@pytest.mark.parametrize("length", [SIZE - 1, SIZE + 1])
async def test_a_file_of_another_size_than_announced_is_not_whole(tmp_path, length):
    await refused(tmp_path, ConnectionLostError, data(Content_Length=str(length)))


@pytest.mark.parametrize(
    "headers",
    [{"Content_Length": "7", "Content_Encoding": "gzip"}, {"Content_Length": "many"}, {}],
)
async def test_a_size_that_says_nothing_is_not_believed(tmp_path, headers):
    seen = []
    await fetch(tmp_path, data(**headers), on_progress=lambda *step: seen.append(step))
    assert seen == [(1000, None), (SIZE, None)]


async def test_progress_is_reported_also_to_a_coroutine(tmp_path):
    seen = []

    async def watch(received, size):
        await asyncio.sleep(0)
        seen.append((received, size))

    await fetch(tmp_path, data(Content_Length=str(SIZE)), on_progress=watch)
    assert seen == [(1000, SIZE), (SIZE, SIZE)]


# What goes wrong on the way


async def test_a_connection_that_breaks_leaves_nothing_behind(tmp_path):
    await refused(tmp_path, ConnectionLostError, data(DATA[0], ConnectionLostError("cut")))


async def test_what_a_progress_callback_raises_leaves_nothing_behind(tmp_path):
    await refused(tmp_path, ZeroDivisionError, data(), on_progress=lambda *_: 1 / 0)


@pytest.mark.parametrize("reply", [FakeReply(delay=30.0), data(DATA[0], 30.0)], ids=range(2))
@in_virtual_time
async def test_silence_comes_to_an_end(tmp_path, reply):
    clocks = Timeout(first_byte=0.02, between_progress=0.02)
    await refused(tmp_path, RequestTimeoutError, reply, clocks=clocks)


@in_virtual_time
async def test_a_file_that_trickles_is_given_up(tmp_path):
    """A byte now and then is no progress: 16 KiB are."""
    trickle = [step for _ in range(100) for step in (b"x", 0.1)]
    clocks = Timeout(between_progress=0.5)
    await refused(tmp_path, RequestTimeoutError, data(*trickle), clocks=clocks)
    pieces = [step for _ in range(10) for step in (0.4, bytes(2**14))]
    assert await fetch(tmp_path, data(*pieces), clocks=clocks)


@in_virtual_time
async def test_what_came_before_is_no_progress_of_a_file_that_trickles(tmp_path):
    trickle = data(bytes(2**14), 0.4, b"x", 0.4, b"y")
    clocks = Timeout(between_progress=0.5)
    await refused(tmp_path, RequestTimeoutError, trickle, clocks=clocks)


async def test_a_download_can_be_cancelled_at_any_moment(tmp_path):
    """With asyncio's own cancel(), which anyio's shields do not keep out of a thread."""
    for steps in range(1000):
        task = asyncio.create_task(fetch(tmp_path, data(*[b"x"] * 3)))
        for _ in range(steps):
            await asyncio.sleep(0)
        if not task.cancel():
            break
        with pytest.raises(asyncio.CancelledError):
            await task
        left = list(tmp_path.iterdir())
        assert [path.name for path in left] in ([], ["film.mp4"])
        for path in left:
            path.unlink()
    assert (await task)[0].read_bytes() == b"xxx"


@in_virtual_time
async def test_a_scope_can_end_a_download(tmp_path):
    with anyio.move_on_after(0.02) as scope:
        await fetch(tmp_path, data(DATA[0], 30.0))
    assert scope.cancelled_caught
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cancels", [1, 2, 3])
async def test_work_in_a_thread_is_awaited_also_when_it_fails_after_a_cancel(cancels):
    started, go = asyncio.Event(), anyio.Event()
    loop = asyncio.get_running_loop()

    def work():
        loop.call_soon_threadsafe(started.set)
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result()
        raise ZeroDivisionError

    task = asyncio.create_task(to_the_end(work))
    await started.wait()
    for _ in range(cancels):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelling() == cancels


@pytest.mark.parametrize("made", [True, False])
async def test_a_file_that_cannot_be_opened_is_not_left_behind(tmp_path, monkeypatch, made):
    def full(self, mode):
        if made:
            open(self, mode).close()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zai_async.downloads.targets._NAMELESS", 0)
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match="No space"):
        async with PartialFile(tmp_path / "film.mp4"):
            pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("nameless", [True, False])
@pytest.mark.parametrize("named", [True, False])
async def test_a_file_is_whole_when_it_gets_its_name(tmp_path, monkeypatch, nameless, named):
    """Whoever waits for the name may read at once."""
    link, replace, seen = os.link, Path.replace, []

    def watched(done, name):
        if not name.name.endswith(".part"):
            seen.append(name.read_bytes())
        return done

    def linked(source, name, **options):
        return watched(link(source, name, **options), name)

    monkeypatch.setattr(os, "link", linked)
    monkeypatch.setattr(Path, "replace", lambda path, name: watched(replace(path, name), name))
    if not nameless:
        monkeypatch.setattr("zai_async.downloads.targets._NAMELESS", 0)
    await fetch(tmp_path, data(), to=tmp_path / "film.mp4" if named else "")
    assert seen == [b"".join(DATA)]


# Names


@pytest.mark.parametrize(
    ("url", "headers", "name"),
    [
        ("https://h/a/film.mp4?x=1", {}, "film.mp4"),
        ("https://h/a/film%20one.mp4", {}, "film one.mp4"),
        ("https://h/film", {"Content-Type": "video/mp4; a=b"}, "film.mp4"),
        ("https://h/film", {"Content-Type": "image/png"}, "film.png"),
        ("https://h/film", {"Content-Type": "nobody/knows"}, "film"),
        ("https://h/", {"Content-Type": "image/png"}, "download.png"),
        ("https://h", {}, "download"),
        ("https://h/a/..", {}, "download"),
        ("https://h/%2e%2e%2fetc%2fpasswd", {}, "passwd"),
        ("https://h/a%5C..%5Cb.png", {}, "b.png"),
        ("https://h/.bashrc", {}, "bashrc"),
        ("https://h/nul.png", {}, "_nul.png"),
        ("https://h/a%00b.png", {}, "a_b.png"),
        ("https://h/a.png", {"Content-Disposition": 'attachment; filename="b.png"'}, "b.png"),
        ("https://h/a.png", {"Content-Disposition": "attachment; filename=../../b.png"}, "b.png"),
        (
            "https://h/a.png",
            {"Content-Disposition": "attachment; filename*=UTF-8''%E7%8C%AB.png"},
            "猫.png",
        ),
        ("https://h/a.png", {"Content-Disposition": "inline"}, "a.png"),
        ("https://h/\udce9.png", {}, "_.png"),
        ("https://h/" + "x" * 300, {"Content-Type": "image/png"}, "x" * 196 + ".png"),
        ("https://h/a." + "x" * 300, {}, "a." + "x" * 40),
        ("https://h/a.png", {"Content-Disposition": "at\r\ntachment; filename"}, "a.png"),
    ],
)
def test_a_file_is_called_what_its_server_says(url, headers, name):
    assert file_name(url, headers) == name


@given(path=st.text(), disposition=st.text(), name=st.text())
def test_no_name_leads_out_of_the_directory(path, disposition, name):
    for field in (disposition, f'attachment; filename="{name}"', f"x; filename*=UTF-8''{name}"):
        found = file_name("https://h/" + path.replace("[", ""), {"Content-Disposition": field})
        assert found == Path(found).name
        assert found not in {"", ".", ".."}
        assert not found.startswith(".")
        assert len(found.encode()) <= 200
        assert "\\" not in found


# Results


@pytest.fixture
async def emulator():
    async with Emulator() as emulator:
        yield emulator


def real(emulator):
    return AsyncZai(api_key=KEY, base_url=emulator.url, trust_env=False)


def boxes(content):
    names = []
    while content:
        size, name = struct.unpack(">I4s", content[:8])
        names.append(name)
        content = content[size:]
    return names


async def test_a_film_is_downloaded(emulator, tmp_path):
    emulator.tasks.polls = 1
    async with real(emulator) as zai:
        task = await zai.videos.submit(model="cogvideox-3", prompt="A lighthouse")
        path = await (await task.fetch()).download(f"{tmp_path}/out/")
    assert path.suffix == ".mp4"
    assert boxes(path.read_bytes()) == [b"ftyp", b"moov", b"mdat"]
    (request,) = [each for each in emulator.requests if each.operation == "cdn"]
    assert "Authorization" not in request.headers


async def test_pictures_are_downloaded(emulator, tmp_path):
    emulator.tasks.polls = 1
    async with real(emulator) as zai:
        now = await zai.images.generate(model="cogview-4-250304", prompt="A lighthouse")
        later = await zai.images.submit(model="glm-image", prompt="A lighthouse")
        paths = [
            await now.download(tmp_path / "now.png"),
            await (await later.fetch()).download(tmp_path / "later.png"),
        ]
    assert [path.read_bytes()[:8] for path in paths] == [b"\x89PNG\r\n\x1a\n"] * 2


@pytest.mark.parametrize(
    ("work", "answer"),
    [
        (lambda zai: zai.images.generate(model="m", prompt="p"), {"data": [{"url": URL}] * 2}),
        (
            lambda zai: zai.images.task("1").fetch(),
            {"task_status": "SUCCESS", "image_result": [{"url": URL}] * 2},
        ),
        (
            lambda zai: zai.videos.task("1").fetch(),
            {"task_status": "SUCCESS", "video_result": [{"url": URL}] * 2},
        ),
    ],
    ids=["images", "image task", "video task"],
)
async def test_each_of_several_files_is_downloaded(tmp_path, work, answer):
    transport = FakeTransport(FakeReply.json(answer), data())
    async with client(transport) as zai:
        found = await work(zai)
        paths = [
            await file.download(tmp_path / str(number)) for number, file in enumerate(found.files)
        ]
        with pytest.raises(ConfigurationError):
            await pickle.loads(pickle.dumps(found)).files[0].download(tmp_path)
    assert [path.stat().st_size for path in paths] == [SIZE, SIZE]


async def test_an_address_that_leads_nowhere_is_refused(emulator, tmp_path):
    async with real(emulator) as zai:
        with pytest.raises(ResponseError, match="404"):
            await zai.download(emulator.root_url.replace("/api", "/cdn/none.png"), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "through", [copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))], ids=range(3)
)
async def test_a_copy_of_a_result_has_no_network(emulator, tmp_path, through):
    async with real(emulator) as zai:
        image = await zai.images.generate(model="cogview-4-250304", prompt="A lighthouse")
        copied = through(image)
        assert copied == image
        assert copied.attempts == image.attempts
        with pytest.raises(ConfigurationError, match=r"zai\.download"):
            await copied.download(tmp_path)
        assert (await zai.download(copied.url, tmp_path)).is_file()


async def test_a_result_of_ones_own_has_no_network(tmp_path):
    with pytest.raises(ConfigurationError):
        await Video(video_result=[VideoFile(url=URL)]).download(tmp_path)


async def test_a_task_that_runs_has_nothing_to_download(emulator, tmp_path):
    async with real(emulator) as zai:
        task = await zai.videos.submit(model="cogvideox-3", prompt="A lighthouse")
        with pytest.raises(ConfigurationError, match="nothing to download"):
            await (await task.fetch()).download(tmp_path)


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("absent/film.mp4", FileNotFoundError),
        ("absent/deeper/film.mp4", FileNotFoundError),
        ("x" * 300, OSError),
        ("file/film.mp4", NotADirectoryError),
        ("file/", NotADirectoryError),
        ("loop", OSError),
        ("dangling", FileNotFoundError),
        ("a\0b", InvalidFileError),
    ],
)
async def test_a_place_that_takes_no_file_is_told_before_anything_is_sent(tmp_path, place, kind):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "dangling").symlink_to(tmp_path / "absent/film.mp4")
    transport = FakeTransport()
    with pytest.raises(kind):
        async with client(transport) as zai:
            await zai.download(URL, f"{tmp_path}/{place}")
    assert not transport.requests


@pytest.mark.parametrize("place", ["film.mp4", "kept.mp4", ""])
async def test_a_directory_that_cannot_be_written_to_is_told_before_anything_is_sent(
    tmp_path, place, monkeypatch
):
    (tmp_path / "kept.mp4").write_bytes(b"")
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (tmp_path, os.W_OK))
    transport = FakeTransport()
    with pytest.raises(PermissionError):
        async with client(transport) as zai:
            await zai.download(URL, tmp_path / place)
    assert not transport.requests
