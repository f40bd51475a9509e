"""Where rows come from."""

import gzip
import io
import json
import os
import sys
import threading
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import pytest

from tests.batches import client, collect
from zai_async import ConfigurationError
from zai_async._threads import to_the_end
from zai_async.batch import sources
from zai_async.batch.sources import open_rows

LINES = [json.dumps({"custom_id": str(n), "prompt": f"Say {n}."}).encode() for n in range(5)]


async def opened(rows):
    return await to_the_end(lambda: open_rows(rows))


async def read(rows):
    source = await opened(rows)
    found = [row async for row in source]
    await source.aclose()
    return found


async def agen(rows):
    for row in rows:
        yield row


@pytest.mark.parametrize("make", [list, tuple, iter, agen])
async def test_rows_of_an_iterable(make):
    assert await read(make(LINES)) == LINES
    assert open_rows(make(LINES)).total == (5 if make in {list, tuple} else None)


@pytest.mark.parametrize("rows", [7, None, b"{}", {"prompt": "x"}])
def test_what_has_no_rows(rows):
    with pytest.raises(ConfigurationError, match="must be an iterable or a path"):
        open_rows(rows)


@pytest.mark.parametrize(
    "content",
    [
        b"\n".join(LINES) + b"\n",
        b"\n".join(LINES),
        b"\xef\xbb\xbf" + b"\n\n  \n".join(LINES) + b"\r\n",
        gzip.compress(b"\n".join(LINES), mtime=0),
    ],
)
async def test_rows_of_a_file(tmp_path, content, monkeypatch):
    path = tmp_path / "rows"
    path.write_bytes(content)
    for piece in (1, 7, 2**16):
        monkeypatch.setattr(sources, "_PIECE", piece)
        assert [line.rstrip() for line in await read(path)] == LINES


async def test_how_many_rows_a_file_has_is_guessed(tmp_path, monkeypatch):
    path = tmp_path / "rows"
    path.write_bytes(b"\n".join(LINES) + b"\n")
    monkeypatch.setattr(sources, "_PIECE", len(LINES[0]) + 1)
    source = await opened(path)
    assert source.total is None
    rows = aiter(source)
    await anext(rows)
    assert source.total == 5
    await rows.aclose()
    await source.aclose()


async def test_rows_of_stdin(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"\n".join(LINES))))
    source = open_rows("-")
    assert [row async for row in source] == LINES
    assert (source.total, source.path) == (None, None)
    await source.aclose()
    assert not sys.stdin.buffer.closed


async def test_rows_of_a_pipe(tmp_path):
    path = tmp_path / "rows"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"\n".join(LINES),))
    writer.start()
    source = await opened(path)
    assert [row async for row in source] == LINES
    await source.aclose()
    writer.join()
    assert source.total is None


@pytest.mark.parametrize(
    ("name", "reason"), [("missing", "No such file"), (".", "is a directory"), ("a\0", "null")]
)
async def test_files_that_cannot_be_read(tmp_path, name, reason):
    zai, transport = client()
    with pytest.raises(ConfigurationError, match=reason):
        await zai.batch.run(f"{tmp_path}/{name}", out=tmp_path / "out", model="glm-5.3")
    assert transport.requests == []
    assert not (tmp_path / "out").exists()


WHOLE = gzip.compress(b"\n".join(LINES), mtime=0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (WHOLE[:-4], "end-of-stream"),
        (WHOLE[:-8] + bytes(8), "CRC"),
        (WHOLE[:10] + b"\xff" * 50, "invalid block"),
    ],
    ids=["cut", "spoilt", "no gzip"],
)
async def test_an_input_that_breaks_off_ends_the_run(tmp_path, content, reason):
    path = tmp_path / "rows.gz"
    path.write_bytes(content)
    zai, _ = client()
    run = zai.batch.run(path, out=tmp_path / "out", model="glm-5.3", resume="failed")
    with pytest.raises(ConfigurationError, match=rf"rows\.gz' cannot be read: .*{reason}"):
        await collect(run)
    report = await run.report()
    assert (report.state, report.reason) == ("stopped", "ConfigurationError")


async def test_a_stdin_that_cannot_be_read(monkeypatch):
    class Broken(io.BytesIO):
        def read1(self, _):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Broken()))
    with pytest.raises(ConfigurationError, match="stdin cannot be read: Input/output error"):
        await read("-")


ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"


async def test_rows_of_zstd(tmp_path):
    if find_spec(ZSTD.partition(".")[0]) is None:
        pytest.skip("needs backports.zstd")
    zstd = pytest.importorskip(ZSTD)
    path = tmp_path / "rows.zst"
    path.write_bytes(zstd.compress(b"\n".join(LINES)))
    assert await read(path) == LINES


async def test_a_fake_zstd_is_asked_in_the_same_way(tmp_path, monkeypatch):
    path = tmp_path / "rows.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + b"\n".join(LINES))

    class ZstdFile(io.BytesIO):
        def __init__(self, raw):
            super().__init__(raw.read()[4:])

    monkeypatch.setattr(sources, "import_module", lambda _: SimpleNamespace(ZstdFile=ZstdFile))
    assert await read(path) == LINES


class Table:
    def __init__(self, path):
        self.metadata = SimpleNamespace(num_rows=5)
        self.closed = False

    def iter_batches(self, batch_size):
        for line in LINES:
            yield SimpleNamespace(to_pylist=lambda line=line: [json.loads(line)])

    def close(self):
        self.closed = True


async def test_a_fake_parquet_is_asked_in_the_same_way(tmp_path, monkeypatch):
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1")
    module = ModuleType("parquet")
    module.ParquetFile = Table
    monkeypatch.setattr(sources, "import_module", lambda _: module)
    assert (await opened(path)).total == 5
    assert await read(path) == [json.loads(line) for line in LINES]


async def test_rows_of_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([json.loads(line) for line in LINES]), path)
    assert await read(path) == [json.loads(line) for line in LINES]


async def test_a_parquet_file_that_is_none(tmp_path, monkeypatch):
    def broken(path):
        raise ValueError("Parquet magic bytes not found in footer")

    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setattr(sources, "import_module", lambda _: SimpleNamespace(ParquetFile=broken))
    with pytest.raises(ConfigurationError, match=r"rows\.parquet' cannot be read: .*footer"):
        await opened(path)


@pytest.mark.parametrize(("magic", "extra"), [(b"PAR1", "parquet"), (b"\x28\xb5\x2f\xfd", "zstd")])
def test_what_is_missing_is_named(tmp_path, monkeypatch, magic, extra):
    def missing(name):
        raise ImportError(name)

    path = tmp_path / "rows"
    path.write_bytes(magic)
    monkeypatch.setattr(sources, "import_module", missing)
    with pytest.raises(ConfigurationError, match=rf"{extra} needs .* pip install"):
        open_rows(path)
