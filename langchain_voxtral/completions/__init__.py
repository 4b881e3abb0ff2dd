"""Completions: requests from messages, and answers from responses."""
