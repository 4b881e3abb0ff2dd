"""Tokens without a server: the model's vocabulary and template, and whether a prompt fits."""
