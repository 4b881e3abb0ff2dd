"""Transcription: recordings in chunks, requests, results, documents."""
