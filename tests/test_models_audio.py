"""Transcriptions, speech and voices."""

from tests.reading import read
from zai_async.models import (
    ClonedVoice,
    SpeechChunk,
    Transcription,
    TranscriptionEvent,
    VoiceDeletion,
    VoiceList,
)


def test_a_transcription_is_read():
    said = read(
        Transcription,
        {
            "id": "1",
            "created": 1790000000,
            "request_id": "r",
            "model": "glm-asr-2512",
            "text": "Hi",
        },
    )
    assert (said.id, said.created, said.model, said.text) == ("1", 1790000000, "glm-asr-2512", "Hi")
    assert said.request_id == "r"


def test_pieces_of_a_transcription_are_read():
    piece = read(TranscriptionEvent, {"id": "1", "type": "transcript.text.delta", "delta": "hel"})
    last = read(TranscriptionEvent, {"type": "transcript.text.done", "delta": None})
    assert (piece.type, piece.delta, piece.text) == ("transcript.text.delta", "hel", None)
    assert (last.type, last.delta, last.id) == ("transcript.text.done", "", "")


def test_an_error_in_place_of_a_piece_is_kept():
    error = {"code": "1301", "message": "no"}
    assert read(TranscriptionEvent, {"error": error}).error == error
    assert read(SpeechChunk, {"error": error}).error == error


def test_pieces_of_speech_are_read():
    delta = {"content": "AAAA", "return_sample_rate": 24000, "return_format": "pcm"}
    chunk = read(SpeechChunk, {"id": "1", "choices": [{"index": 0, "delta": delta}]})
    last = read(SpeechChunk, {"id": "1", "choices": [{"index": 0, "finish_reason": "stop"}]})
    assert chunk.choices[0].delta.content == "AAAA"
    assert chunk.choices[0].delta.return_sample_rate == 24000
    assert (last.choices[0].delta, last.choices[0].finish_reason) == (None, "stop")


def test_voices_are_read_also_without_their_sample():
    found = read(
        VoiceList,
        {"voice_list": [{"voice": "tongtong", "voice_name": "Tong", "voice_type": "OFFICIAL"}]},
    )
    (voice,) = found.voice_list
    assert (voice.voice, voice.voice_type, voice.download_url) == ("tongtong", "OFFICIAL", "")


def test_what_becomes_of_a_voice_is_read():
    cloned = read(
        ClonedVoice, {"voice": "v-1", "file_id": "f-2", "file_purpose": "voice-clone-output"}
    )
    gone = read(VoiceDeletion, {"voice": "v-1", "update_time": "2026-11-20 10:00:00"})
    assert (cloned.voice, cloned.file_id) == ("v-1", "f-2")
    assert (gone.voice, gone.update_time) == ("v-1", "2026-11-20 10:00:00")
