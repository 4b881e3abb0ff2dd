"""Languages by their ISO 639 codes, as requests and responses name them."""

import re

from langchain_voxtral.errors import VoxtralInvalidRequestError

VOXTRAL_LANGUAGES = ("de", "en", "es", "fr", "hi", "it", "nl", "pt")
"""The languages that Voxtral's model card lists."""

LANGUAGES = {
    "af": "Afrikaans",
    "am": "Amharic",
    "ar": "Arabic",
    "as": "Assamese",
    "az": "Azerbaijani",
    "ba": "Bashkir",
    "be": "Belarusian",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "bo": "Tibetan",
    "br": "Breton",
    "bs": "Bosnian",
    "ca": "Catalan",
    "cs": "Czech",
    "cy": "Welsh",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "eu": "Basque",
    "fa": "Persian",
    "fi": "Finnish",
    "fo": "Faroese",
    "fr": "French",
    "gl": "Galician",
    "gu": "Gujarati",
    "ha": "Hausa",
    "haw": "Hawaiian",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "ht": "Haitian Creole",
    "hu": "Hungarian",
    "hy": "Armenian",
    "id": "Indonesian",
    "is": "Icelandic",
    "it": "Italian",
    "ja": "Japanese",
    "jv": "Javanese",
    "ka": "Georgian",
    "kk": "Kazakh",
    "km": "Khmer",
    "kn": "Kannada",
    "ko": "Korean",
    "la": "Latin",
    "lb": "Luxembourgish",
    "ln": "Lingala",
    "lo": "Lao",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "mg": "Malagasy",
    "mi": "Maori",
    "mk": "Macedonian",
    "ml": "Malayalam",
    "mn": "Mongolian",
    "mr": "Marathi",
    "ms": "Malay",
    "mt": "Maltese",
    "my": "Myanmar",
    "ne": "Nepali",
    "nl": "Dutch",
    "nn": "Nynorsk",
    "no": "Norwegian",
    "oc": "Occitan",
    "pa": "Punjabi",
    "pl": "Polish",
    "ps": "Pashto",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sa": "Sanskrit",
    "sd": "Sindhi",
    "si": "Sinhala",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sn": "Shona",
    "so": "Somali",
    "sq": "Albanian",
    "sr": "Serbian",
    "su": "Sundanese",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "te": "Telugu",
    "tg": "Tajik",
    "th": "Thai",
    "tk": "Turkmen",
    "tl": "Tagalog",
    "tr": "Turkish",
    "tt": "Tatar",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "uz": "Uzbek",
    "vi": "Vietnamese",
    "yi": "Yiddish",
    "yo": "Yoruba",
    "yue": "Cantonese",
    "zh": "Chinese",
}
"""The languages that Whisper transcribes, Voxtral's among them: their ISO 639 codes, of two letters
if there is one, and the names that OpenAI's servers write in lower case."""
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
