"""``zai keys``: where keys are kept, who can read them, and which one counts."""

from __future__ import annotations

import io
import json
import stat
import sys
from types import SimpleNamespace

import pytest

from tests.command_line import Screen, surround
from zai_async.cli import main


@pytest.fixture(autouse=True)
def path(monkeypatch, zai_emulator, tmp_path):
    surround(monkeypatch, zai_emulator, tmp_path)
    monkeypatch.setenv("ZHIPUAI_BASE_URL", zai_emulator.url)
    monkeypatch.delenv("ZAI_API_KEY")
    return tmp_path / "config/zai/keys.json"


@pytest.fixture
def keyring(monkeypatch):
    """Have a keyring that works, until its ``locked`` is true."""
    kept = {}
    ring = SimpleNamespace(kept=kept, locked=False)

    def unlocked(act):
        def call(service, name, *rest):
            assert service == "zai-async"
            if ring.locked:
                raise RuntimeError("no session")
            return act(name, *rest)

        return call

    ring.set_password = unlocked(kept.__setitem__)
    ring.get_password = unlocked(kept.get)
    ring.delete_password = unlocked(kept.pop)
    monkeypatch.setitem(sys.modules, "keyring", ring)
    return ring


def save(monkeypatch, key, *options):
    monkeypatch.setattr(sys, "stdin", io.StringIO(key))
    return main(["keys", "set", *options])


def authorization(emulator):
    return emulator.requests[-1].headers["Authorization"]


def test_key_is_kept_in_a_private_file(capsys, monkeypatch, zai_emulator, path):
    assert save(monkeypatch, " id.secret\r\n") == 0
    assert capsys.readouterr() == ("", f"zai: ZAI_API_KEY is in {path}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert json.loads(path.read_bytes()) == {"ZAI_API_KEY": "id.secret"}
    assert main(["models", "-q"]) == 0
    assert authorization(zai_emulator) == "Bearer id.secret"


def test_key_is_typed_unseen(monkeypatch, path):
    monkeypatch.setattr(sys, "stdin", Screen())
    monkeypatch.setattr("getpass.getpass", lambda prompt: f"id.{prompt[:3]}")
    assert main(["keys", "set"]) == 0
    assert json.loads(path.read_bytes()) == {"ZAI_API_KEY": "id.ZAI"}


def test_each_gateway_has_its_key(monkeypatch, zai_emulator, path):
    assert save(monkeypatch, "one.secret") == 0
    assert save(monkeypatch, "two.secret", "--provider", "bigmodel") == 0
    assert set(json.loads(path.read_bytes())) == {"ZAI_API_KEY", "ZHIPUAI_API_KEY"}
    for provider, key in (("zai", "one"), ("zai-coding", "one"), ("bigmodel", "two")):
        main(["models", "--provider", provider, "-q"])
        assert authorization(zai_emulator) == f"Bearer {key}.secret"


def test_variable_comes_first(monkeypatch, zai_emulator):
    assert save(monkeypatch, "kept.secret") == 0
    monkeypatch.setenv("ZAI_API_KEY", "set.secret")
    assert main(["models"]) == 0
    assert authorization(zai_emulator) == "Bearer set.secret"


def test_keyring_keeps_a_key_instead(capsys, monkeypatch, zai_emulator, keyring, path):
    assert save(monkeypatch, "id.secret") == 0
    assert keyring.kept == {"ZAI_API_KEY": "id.secret"}
    assert not path.exists()
    assert capsys.readouterr().err == "zai: ZAI_API_KEY is in the keyring\n"
    assert main(["models"]) == 0
    assert authorization(zai_emulator) == "Bearer id.secret"
    capsys.readouterr()
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.startswith("key       in the keyring\n")


def test_keyring_that_holds_nothing(capsys, keyring):
    keyring.kept["OTHER"] = "id.secret"
    assert main(["models", "--provider", "bigmodel"]) == 3
    assert "zai keys set" in capsys.readouterr().err


def test_file_is_used_where_a_keyring_does_not_work(capsys, monkeypatch, keyring, path):
    keyring.locked = True
    assert main(["models"]) == 3
    assert save(monkeypatch, "id.secret") == 0
    assert "the keyring does not work here (RuntimeError)" in capsys.readouterr().err
    assert "id.secret" in path.read_text()
    assert main(["models"]) == 0
    keyring.locked = False
    assert save(monkeypatch, "new.secret") == 0
    assert json.loads(path.read_bytes()) == {}


def test_deleted_key_is_gone_everywhere(capsys, monkeypatch, keyring, path):
    assert main(["keys", "delete"]) == 0
    assert capsys.readouterr().err == "zai: ZAI_API_KEY was not saved\n"
    assert save(monkeypatch, "id.secret") == 0
    assert main(["keys", "delete"]) == 0
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert save(monkeypatch, "id.secret") == 0
    assert main(["keys", "delete"]) == 0
    assert capsys.readouterr().err.endswith("zai: ZAI_API_KEY is deleted\n")
    assert keyring.kept == {}
    assert json.loads(path.read_bytes()) == {}
    assert main(["models"]) == 3


def test_path(capsys, path):
    assert main(["keys", "path"]) == 0
    assert capsys.readouterr() == (f"{path}\n", "")


def test_path_where_nothing_says_otherwise(capsys, monkeypatch, tmp_path):
    for name in ("XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["keys", "path"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/.config/zai/keys.json\n"


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        ('{"ZAI_API_KEY": "id.secret"}', 0o644, "other users may read"),
        ('{"ZAI_API_KEY": 1}', 0o600, "cannot be read"),
        ("{", 0o600, "cannot be read"),
    ],
)
def test_file_that_cannot_be_used(capsys, path, content, mode, said):
    path.parent.mkdir(parents=True)
    path.write_text(content)
    path.chmod(mode)
    assert main(["models"]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "secret" not in told


@pytest.mark.parametrize(
    ("pasted", "said"),
    [
        ("Bearer id.secret", "Bearer"),
        ("bearer: id.secret", "Bearer"),
        ("Authorization: Bearer id.secret", "Bearer"),
        ('"id.secret"', "quotes"),
        ("id.secret'", "quotes"),
        ("", "empty"),
        (" \n", "empty"),
        ("id.s\u00e9cret", "the API key"),
        ("id.secret\nid.other", "the API key"),
        ("<your key>", "the API key"),
    ],
)
def test_what_is_no_key_is_not_kept(capsys, monkeypatch, path, pasted, said):
    assert save(monkeypatch, pasted) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "secret" not in told
    assert not path.exists()


@pytest.mark.parametrize("pasted", ["Bearer id.secret", '"id.secret"'])
def test_doctor_sees_a_key_with_its_scheme_or_quotes(capsys, monkeypatch, pasted):
    monkeypatch.setenv("ZAI_API_KEY", pasted)
    assert main(["doctor"]) == 2
    line = capsys.readouterr().out
    assert line.startswith("settings  the API key ")
    assert "secret" not in line
