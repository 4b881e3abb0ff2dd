"""Recordings: what they are, their samples, pieces of them, their price, their subtitles.

Nothing here talks to a server. Kinds, costs, subtitles and the facts of wav and mp3 files need
only the base install; decoding needs the extra: `pip install "langchain-voxtral[audio]"`.
"""
