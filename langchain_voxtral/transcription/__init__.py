"""From a recording to documents: cut, ask, remember, write down.

Pure apart from reading the recording; `listening` does the asking.
"""
