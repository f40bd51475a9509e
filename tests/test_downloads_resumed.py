"""Downloads that break off and go on, meet pages and devices, and keep away from addresses."""

import asyncio
import errno
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import threading
from itertools import pairwise

import pytest

from tests.calls import KEY, FakeClock
from tests.calls import client as real_client
from tests.fault_server import FaultServer, answer
from tests.test_downloads import DATA, SIZE, URL, client, data, fetch, moved, refused
from zai_async import (
    AsyncZai,
    ConfigurationError,
    ConnectionLostError,
    LimitError,
    ResponseError,
    RetryPolicy,
    Timeout,
    TLSError,
)
from zai_async._files import OutputFile
from zai_async._transport import _internals
from zai_async._transport._connections import GuardedResolver
from zai_async.testing import FakeReply, FakeTransport

WHOLE = b"".join(DATA)
CUT = ConnectionLostError("cut")
TAG = {"ETag": '"v1"', "Content-Length": str(SIZE)}


def part(start, *, end=SIZE, total=SIZE, of=WHOLE, **headers):
    field = f"bytes {start}-{end - 1}/{total}"
    return FakeReply(status=206, headers={"Content-Range": field} | headers, steps=(of[start:end],))


def cut(headers=TAG, *steps):
    return FakeReply(headers=headers, steps=(*(steps or DATA[:1]), CUT))


# Going on


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        (TAG, '"v1"'),
        ({"Last-Modified": "Sat, 28 Nov 2026 20:00:00 GMT"}, "Sat, 28 Nov 2026 20:00:00 GMT"),
        ({"ETag": 'W/"v1"', "Last-Modified": "Sat, 28 Nov 2026 20:00:00 GMT"}, None),
        ({"ETag": 'W/"v1"'}, None),
        ({}, None),
        (TAG | {"Accept-Ranges": "none"}, None),
        (TAG | {"Content-Encoding": "gzip"}, None),
    ],
    ids=["tag", "date", "weak tag with a date", "weak tag", "nothing", "no ranges", "packed"],
)
async def test_a_download_goes_on_where_it_broke_off(tmp_path, headers, validator):
    if "W/" in headers.get("ETag", "") and "Last-Modified" in headers:
        validator = headers["Last-Modified"]
    rest = data() if validator is None else part(1000)
    path, transport = await fetch(tmp_path, cut(headers), rest)
    assert path.read_bytes() == WHOLE
    asked = transport.requests[1].headers
    assert asked.get("If-Range") == validator
    assert asked.get("Range") == (None if validator is None else "bytes=1000-")


async def test_what_comes_between_two_cuts_makes_the_next_one_the_first(tmp_path):
    first = FakeReply(headers=TAG, steps=(WHOLE[:150], CUT))
    field = {"Content-Range": f"bytes 150-{SIZE - 1}/{SIZE}"}
    second = FakeReply(status=206, headers=field, steps=(WHOLE[150:1000], CUT))
    async with client(
        FakeTransport(first, second, part(1000)), retry=RetryPolicy(retries=1)
    ) as zai:
        path = await zai.download(URL, tmp_path)
    assert path.read_bytes() == WHOLE


async def test_it_goes_on_again_and_again_while_something_comes(tmp_path):
    """Ten cuts, more than a policy would allow in a row."""
    edges = [*range(0, SIZE, 150), SIZE]
    first = FakeReply(headers=TAG, steps=(WHOLE[:150], CUT))
    parts = [
        FakeReply(
            status=206,
            headers={"Content-Range": f"bytes {start}-{SIZE - 1}/{SIZE}"},
            steps=(WHOLE[start:end], *([CUT] if end < SIZE else [])),
        )
        for start, end in pairwise(edges[1:])
    ]
    seen = []
    path, transport = await fetch(
        tmp_path, first, *parts, on_progress=lambda *step: seen.append(step)
    )
    assert path.read_bytes() == WHOLE
    assert len(transport.requests) == 10
    assert seen == [(edge, SIZE) for edge in edges[1:]]


async def test_a_file_that_became_another_is_fetched_anew(tmp_path):
    path, _ = await fetch(tmp_path, cut(), data(b"another"))
    assert path.read_bytes() == b"another"


@pytest.mark.parametrize(
    "odd",
    [
        part(999),
        part(1000, **{"Content-Range": "bytes */1500"}),
        FakeReply(status=206, steps=(b"x",)),
        FakeReply(status=416),
        FakeReply(status=206, headers={"Content-Range": "bytes 1000-1499/x"}, steps=(b"x",)),
        part(1000, end=1010, total=1010),
        part(1000, ETag='"v2"'),
    ],
    ids=[
        "another place",
        "no range",
        "no place",
        "out of range",
        "no size",
        "another size",
        "another tag",
    ],
)
async def test_a_part_that_does_not_fit_is_not_used(tmp_path, odd):
    path, transport = await fetch(tmp_path, cut(), odd, data())
    assert path.read_bytes() == WHOLE
    assert ["Range" in request.headers for request in transport.requests] == [False, True, False]


async def test_a_server_may_take_its_time_where_there_is_no_limit(tmp_path):
    path, _ = await fetch(tmp_path, data(), clocks=Timeout(between_progress=None))
    assert path.read_bytes() == WHOLE


async def test_a_connection_that_breaks_before_the_first_byte(tmp_path):
    path, transport = await fetch(tmp_path, FakeReply(headers=TAG, steps=(CUT,)), data())
    assert path.read_bytes() == WHOLE
    assert "Range" not in transport.requests[1].headers


async def test_a_part_of_a_file_of_unknown_size(tmp_path):
    path, _ = await fetch(tmp_path, cut({"ETag": '"v1"'}), part(1000, total="*"))
    assert path.read_bytes() == WHOLE


@pytest.mark.parametrize("status", [500, 502, 503, 408, 425, 429])
async def test_what_passes_is_waited_for(tmp_path, status):
    path, transport = await fetch(tmp_path, data(status=status), data(status=status), data())
    assert path.read_bytes() == WHOLE
    assert len(transport.requests) == 3


async def test_a_file_may_be_known_a_little_later_than_its_task_says(tmp_path):
    path, transport = await fetch(tmp_path, data(status=404), data(status=404), data())
    assert path.read_bytes() == WHOLE
    assert len(transport.requests) == 3


async def test_a_file_that_stays_away_is_given_up_soon(tmp_path):
    transport = FakeTransport(data(status=404))
    clock = FakeClock()
    async with client(transport, clock=clock) as zai:
        with pytest.raises(ResponseError, match="404") as caught:
            await zai.download(URL, tmp_path)
    assert not caught.value.retryable
    assert len(transport.requests) == 4
    assert sum(clock.slept) < 10


@pytest.mark.parametrize(
    "reply", [data(status=403), data(status=410), data(status=206)], ids=range(3)
)
async def test_what_stays_is_not_asked_for_again(tmp_path, reply):
    transport = FakeTransport(reply)
    async with client(transport) as zai:
        with pytest.raises(ResponseError):
            await zai.download(URL, tmp_path)
    assert len(transport.requests) == 1


async def test_a_certificate_that_is_not_trusted_is_not_tried_again(tmp_path):
    transport = FakeTransport(FakeReply(failure=TLSError("no")))
    async with client(transport) as zai:
        with pytest.raises(TLSError):
            await zai.download(URL, tmp_path)
    assert len(transport.requests) == 1


async def test_without_retries_nothing_is_sent_again(tmp_path):
    transport = FakeTransport(cut(), part(1000))
    async with client(transport, retry=RetryPolicy(retries=0)) as zai:
        with pytest.raises(ConnectionLostError):
            await zai.download(URL, tmp_path)
    assert len(transport.requests) == 1
    assert os.listdir(tmp_path) == []


async def test_the_limit_counts_all_parts(tmp_path):
    script = cut({"ETag": '"v1"'}), part(1000)
    await refused(tmp_path, LimitError, *script, max_bytes=SIZE - 1)


async def test_the_redirects_are_followed_anew(tmp_path):
    """Signed addresses live for some minutes; the one that led there still leads there."""
    other = "https://cdn.example/signed-again.mp4"
    script = moved("/signed.mp4"), cut(), moved(other), part(1000)
    _, transport = await fetch(tmp_path, *script)
    assert [request.url for request in transport.requests[2:]] == [URL, other]


async def test_over_sockets_a_cut_file_is_completed(tmp_path):
    whole = random.Random(300).randbytes(300_000)

    class Store(FaultServer):
        async def serve(self, reader, writer):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(head)
            start = int(head.partition("bytes=")[2].partition("-")[0] or 0)
            status = "206 Partial Content" if start else "200 OK"
            lines = [
                f"HTTP/1.1 {status}",
                'ETag: "v1"',
                f"Content-Length: {len(whole) - start}",
                f"Content-Range: bytes {start}-{len(whole) - 1}/{len(whole)}",
            ]
            writer.write("\r\n".join([*lines, "", ""]).encode() + whole[start : start + 100_000])
            await writer.drain()

    async with Store([]) as server, real_client(server.url, retry=RetryPolicy()) as zai:
        path = await zai.download(f"http://127.0.0.1:{server.port}/film.mp4", tmp_path)
    assert path.read_bytes() == whole
    assert len(server.requests) == 3


# Pages


@pytest.mark.parametrize(
    ("url", "kind", "body"),
    [
        ("https://h/film.mp4", "text/html", b"<html>log in</html>"),
        ("https://h/film.mp4", "text/html; charset=utf-8", b"log in"),
        ("https://h/film", "text/html", b"log in"),
        ("https://h/film.mp4", "application/octet-stream", b"\n <!DOCTYPE HTML><title>"),
        ("https://h/film.mp4", "", b"<HTML>"),
        ("https://h/pic.png", "application/json", b'{"error": "expired"}'),
        ("https://h/pic.png", "text/xml", b"<Error>"),
        ("https://h/song.mp3", "text/plain", b"expired"),
        ("https://h/song.mp3", "text/plain", b""),
        ("https://h/film.mp4", "application/octet-stream", b"\xef\xbb\xbf\n<!DOCTYPE html>"),
        ("https://h/film.mp4", "application/octet-stream", b"<?xml version='1.0'?><Error/>"),
        ("https://h/film.mp4", "application/octet-stream", b'{"error": "expired"}'),
        ("https://h/film.mp4", "video/mp4", b"<!-- x --><html>"),
        ("https://h/film", "video/mp4", b"<!-- x --><html>"),
    ],
)
async def test_a_page_is_not_saved_as_a_file(tmp_path, url, kind, body):
    # A page that comes in crumbs is one, too.
    for steps in ((body,) if body else (), [body[place : place + 1] for place in range(len(body))]):
        reply = FakeReply(headers={"Content-Type": kind} if kind else {}, steps=tuple(steps))
        error = await refused(tmp_path, ResponseError, reply, url=url)
        assert f"a page ({kind.partition(';')[0] or 'of no type'})" in error.message


async def test_what_says_that_it_is_a_page_is_refused_before_a_place_is_made_for_it(tmp_path):
    page = data(Content_Type="text/html")
    await refused(tmp_path, ResponseError, page, to=f"{tmp_path}/new/")


async def test_a_film_of_no_bytes_is_asked_for_again(tmp_path):
    path, transport = await fetch(tmp_path, FakeReply(), data(), url="https://h/film.mp4")
    assert (path.read_bytes(), len(transport.requests)) == (WHOLE, 2)


async def test_a_film_of_no_bytes_is_no_film(tmp_path):
    error = await refused(tmp_path, ResponseError, FakeReply(), url="https://h/film.mp4")
    assert (error.message, error.retryable, error.repeat) == ("an empty file came", True, "short")


@pytest.mark.parametrize(
    ("url", "kind", "body"),
    [
        ("https://h/slides.html", "text/html", b"<html>slides</html>"),
        ("https://h/answers.jsonl", "application/json", b"{}"),
        ("https://h/film.mp4", "video/mp4", b"\0\0\0\x18ftyp"),
        ("https://h/film.mp4", "application/octet-stream", b"\0\0\0\x18ftyp"),
        ("https://h/text", "text/plain", b"text"),
        ("https://h/text.txt", "text/plain", b""),
        ("https://h/logo.svg", "image/svg+xml", b"<svg>"),
        ("https://h/logo", "image/svg+xml", b"<svg>"),
    ],
)
async def test_what_is_meant_to_be_text_is_saved(tmp_path, url, kind, body):
    reply = FakeReply(headers={"Content-Type": kind}, steps=(body,))
    path, _ = await fetch(tmp_path, reply, url=url)
    assert path.read_bytes() == body


@pytest.mark.parametrize("first", [b"<", b"{", b"[", b" {"])
async def test_sound_without_a_header_may_begin_like_text(tmp_path, first):
    samples = first + b"\x3c\x00\xff\x7f" * 100
    reply = FakeReply(headers={"Content-Type": "audio/l16"}, steps=(samples,))
    path, _ = await fetch(tmp_path, reply, url="https://h/speech.pcm")
    assert path.read_bytes() == samples


async def test_a_page_may_be_saved_as_one(tmp_path):
    reply = FakeReply(headers={"Content-Type": "text/html"}, steps=(b"<html>",))
    path, _ = await fetch(tmp_path, reply, url="https://h/x", to=tmp_path / "page.html")
    assert path.read_bytes() == b"<html>"


# Where it goes


async def test_what_a_link_leads_to_is_replaced_and_the_link_stays(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "film.mp4", tmp_path / "film.mp4"
    target.write_bytes(b"old")
    link.symlink_to(target)
    path, _ = await fetch(tmp_path, data(), to=link)
    assert link.is_symlink()
    assert (path, target.read_bytes()) == (target, WHOLE)
    assert os.listdir(tmp_path / "real") == ["film.mp4"]


async def test_a_link_to_nothing_yet_makes_it(tmp_path):
    link = tmp_path / "film.mp4"
    link.symlink_to(tmp_path / "later.mp4")
    await fetch(tmp_path, data(), to=link)
    assert link.is_symlink()
    assert (tmp_path / "later.mp4").read_bytes() == WHOLE


async def test_a_device_is_written_to_and_stays(tmp_path):
    before = os.stat("/dev/null")
    path, _ = await fetch(tmp_path, data(), to="/dev/null")
    assert os.fspath(path) == "/dev/null"
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert os.stat("/dev/null").st_rdev == before.st_rdev


async def test_a_pipe_is_written_to_and_stays(tmp_path):
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    await fetch(tmp_path, data(), to=pipe)
    reader.join()
    assert got == [WHOLE]
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)


async def test_a_pipe_that_nobody_reads_can_be_left(tmp_path, monkeypatch):
    pipe, begun = tmp_path / "pipe", threading.Event()
    os.mkfifo(pipe)
    open_it = OutputFile._open
    monkeypatch.setattr(OutputFile, "_open", lambda file: (begun.set(), open_it(file)))
    task = asyncio.create_task(fetch(tmp_path, data(), to=pipe))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))  # lets the thread go


async def test_what_a_pipe_was_given_cannot_be_taken_back(tmp_path):
    """A part that fits goes on; a file that has to begin anew does not."""
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    for script in [(cut(), part(1000)), (cut(), data())]:
        reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
        reader.start()
        if script[1].status == 206:
            await fetch(tmp_path, *script, to=pipe)
        else:
            with pytest.raises(ConnectionLostError, match="the rest"):
                await fetch(tmp_path, *script, to=pipe)
        reader.join()
    assert got == [WHOLE, DATA[0]]


async def test_what_cannot_go_on_is_not_asked_for_again(tmp_path):
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    transport = FakeTransport(cut({}))
    async with client(transport) as zai:
        with pytest.raises(ConnectionLostError, match="cut"):
            await zai.download(URL, pipe)
    reader.join()
    assert (len(transport.requests), got) == (1, [DATA[0]])


async def test_a_pipe_that_was_given_nothing_yet_gets_it_from_another_try(tmp_path):
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    nothing = FakeReply(headers={"Content-Length": str(SIZE)}, steps=(CUT,))
    _, transport = await fetch(tmp_path, nothing, data(), to=pipe)
    reader.join()
    assert (len(transport.requests), got) == (2, [WHOLE])


async def test_the_mode_of_a_file_that_is_replaced_is_kept(tmp_path):
    mine = tmp_path / "film.mp4"
    mine.write_bytes(b"old")
    mine.chmod(0o640)
    await fetch(tmp_path, data(), to=mine)
    assert stat.S_IMODE(mine.stat().st_mode) == 0o640


async def test_a_new_file_has_the_mode_of_any(tmp_path):
    (tmp_path / "other").write_bytes(b"")
    path, _ = await fetch(tmp_path, data())
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("replaces", [True, False])
async def test_where_files_have_names_only_a_hidden_one_is_used(tmp_path, monkeypatch, replaces):
    monkeypatch.setattr("zai_async.downloads.targets._NAMELESS", 0)
    seen = []

    async def watch(*_):
        seen.extend(await asyncio.to_thread(os.listdir, tmp_path))

    (tmp_path / "film.mp4").write_bytes(b"old")
    path, _ = await fetch(
        tmp_path,
        cut(),
        data(),
        to=tmp_path / "film.mp4" if replaces else "",
        on_progress=watch,
    )
    assert any(name.endswith(".part") for name in seen)
    assert path.read_bytes() == WHOLE
    assert len(os.listdir(tmp_path)) == (1 if replaces else 2)


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="files without names are Linux's")
@pytest.mark.parametrize("named", [True, False])
async def test_a_nameless_file_is_given_its_name_and_not_copied(tmp_path, monkeypatch, named):
    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr("shutil.copyfileobj", refuse)
    path, _ = await fetch(tmp_path, data(), to=tmp_path / "mine.mp4" if named else "")
    assert path.read_bytes() == WHOLE
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="files without names are Linux's")
@pytest.mark.parametrize("named", [True, False])
async def test_a_copy_that_does_not_fit_leaves_nothing_behind(tmp_path, monkeypatch, named):
    def no_links(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    def no_space(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr("shutil.copyfileobj", no_space)
    await refused(tmp_path, OSError, data(), to=tmp_path / "mine.mp4" if named else "")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="files without names are Linux's")
def test_a_killed_process_leaves_nothing_behind(tmp_path):
    code = """
import asyncio, sys
from tests.test_downloads import *
async def main():
    transport = FakeTransport(data(b"x" * 1000, 60.0))
    async with AsyncZai(api_key="a.b", transport=transport) as zai:
        await zai.download(URL, sys.argv[1], on_progress=lambda *_: print("begun", flush=True))
asyncio.run(main())
"""
    command = [sys.executable, "-c", code, os.fspath(tmp_path / "film.mp4")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGTERM)
        process.wait()
    assert os.listdir(tmp_path) == []


# Addresses to stay away from


async def test_no_redirect_leads_from_https_to_http(tmp_path):
    error = await refused(tmp_path, ResponseError, moved("http://cdn.example/film.mp4"), data())
    assert "encrypted" in error.message


async def test_a_redirect_leads_from_http_to_https(tmp_path):
    script = moved("https://cdn.example/film.mp4"), data()
    path, _ = await fetch(tmp_path, *script, url="http://cdn.example/film.mp4")
    assert path.read_bytes() == WHOLE


@pytest.fixture(params=["direct", "public"])
def way(request, monkeypatch):
    if request.param == "public":
        monkeypatch.setattr(_internals, "hold", lambda: False)


@pytest.mark.usefixtures("way")
async def test_each_hop_is_asked_about_with_its_address(tmp_path):
    asked = []

    def allow(url, address):
        asked.append((url.rpartition(":")[0], address))
        return True

    async with FaultServer([answer(b"file")]) as other, FaultServer() as server:
        where = f"http://localhost:{other.port}/file.txt"
        server.script = [[answer(b"", f"Location: {where}", status="302 Found")]]
        async with real_client() as zai:
            url = f"http://127.0.0.1:{server.port}/file.txt"
            path = await zai.download(url, tmp_path, allow=allow)
            assert path.read_bytes() == b"file"
    assert asked[0] == ("http://127.0.0.1", "127.0.0.1")
    assert ("http://localhost", "127.0.0.1") in asked[1:]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_an_address_that_is_refused_is_never_connected_to(tmp_path, host):
    async with FaultServer([answer(b"file")]) as server, real_client() as zai:
        with pytest.raises(ResponseError, match="not allowed"):
            await zai.download(
                f"http://{host}:{server.port}/x.txt", tmp_path, allow=lambda url, address: False
            )
        assert server.connections == 0


async def test_only_the_addresses_that_are_allowed_are_tried(tmp_path, monkeypatch):
    """A name may resolve to several; and to others the next time it is asked for."""
    async with FaultServer([answer(b"file")]) as server, real_client() as zai:
        places = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, server.port))
            for address in ("10.255.255.1", "127.0.0.1")
        ]

        async def look_up(*_, **__):
            return places

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
        path = await zai.download(
            f"http://rebinding.example:{server.port}/x.txt",
            tmp_path,
            allow=lambda url, address: address == "127.0.0.1",
        )
    assert path.read_bytes() == b"file"


async def test_through_a_proxy_nothing_can_be_checked(tmp_path):
    async with AsyncZai(api_key=KEY, proxy="http://127.0.0.1:9", trust_env=False) as zai:
        with pytest.raises(ConfigurationError, match="through a proxy"):
            await zai.download("http://h.example/x.txt", tmp_path, allow=lambda *_: True)


async def test_a_signed_address_is_asked_for_as_it_is_written(tmp_path):
    signed = "/v%2Fa/film.mp4?Signature=qZ0%2Fab%2BPP2g%3D&x=a%27b&y='c'&z=%e4%bd%a0"
    async with FaultServer() as server, real_client() as zai:
        where = f"Location: http://127.0.0.1:{server.port}{signed}&again=%2F"
        server.script = [[answer(b"", where, status="302 Found")], [answer(b"file")]]
        await zai.download(f"http://127.0.0.1:{server.port}{signed}", tmp_path / "x.bin")
        assert [seen.target for seen in server.requests] == [signed, f"{signed}&again=%2F"]


@pytest.mark.parametrize(
    ("where", "target"),
    [
        (
            "/b%2Fc%7e/x?s=a%2Bb+c%7E&x=%5B1%5D;y='(!)*",
            "/b%2Fc%7e/x?s=a%2Bb+c%7E&x=%5B1%5D;y='(!)*",
        ),
        ("?only=%2f", "/a%2Fb/x?only=%2f"),
        ("../d/%C3%BC?s=%3D%3d", "/d/%C3%BC?s=%3D%3d"),
    ],
)
async def test_a_signed_address_is_kept_where_a_redirect_names_only_a_part(tmp_path, where, target):
    moved_there = answer(b"", f"Location: {where}", status="302 Found")
    async with FaultServer([moved_there], [answer(b"file")]) as server, real_client() as zai:
        await zai.download(f"http://127.0.0.1:{server.port}/a%2Fb/x?q=%41&e=", tmp_path / "x.bin")
        assert [seen.target for seen in server.requests] == ["/a%2Fb/x?q=%41&e=", target]


async def test_an_address_with_characters_that_must_be_escaped(tmp_path):
    async with FaultServer([answer(b"file")]) as server, real_client() as zai:
        url = f"http://127.0.0.1:{server.port}/é ü/%2F.bin?q=ß&r=%2F#part"
        await zai.download(url, tmp_path / "x.bin")
        [seen] = server.requests
        assert seen.target == "/%C3%A9%20%C3%BC/%2F.bin?q=%C3%9F&r=%2F"


async def test_what_resolves_is_closed():
    await GuardedResolver(bool).close()
