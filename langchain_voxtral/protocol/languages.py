"""Languages by their ISO 639 codes, as requests and responses name them."""

import re

from langchain_voxtral.errors import VoxtralInvalidRequestError

LANGUAGES = {
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "hi": "Hindi",
    "it": "Italian",
    "nl": "Dutch",
    "pt": "Portuguese",
}
"""The languages that Voxtral's model card lists, by their ISO 639-1 codes."""
LANGUAGE_CODES = {name.lower(): code for code, name in LANGUAGES.items()}

_LANGUAGE_CODE = re.compile(r"[a-z]{2,3}")


def normalize_language(language: str) -> str:
    """Return the code of a language that a server names; OpenAI's write "english" for "en"."""
    return LANGUAGE_CODES.get(language.lower(), language)


def validate_language(language: str) -> None:
    """Reject what is no code of two or three letters; which codes it knows, a server decides."""
    if _LANGUAGE_CODE.fullmatch(language):
        return
    name = language.strip().lower()
    code = LANGUAGE_CODES.get(name) or re.split("[-_]", name)[0]
    hint = f"for {LANGUAGES[code]} it is {code!r}" if code in LANGUAGES else "such as 'en' or 'fr'"
    raise VoxtralInvalidRequestError(
        f"language={language!r} is not a language code: give the ISO 639-1 code ({hint}), or leave "
        "it unset to let the model detect the language."
    )
