"""From a recording to documents: cut, ask, remember, write down.

Pure apart from reading the recording; the faces in `document_loaders` do the asking.
"""
