"""Languages of speech, by the codes that speech endpoints take."""

import re
from difflib import get_close_matches

from langchain_voxtral.errors import VoxtralInvalidRequestError

_NAMES = """
af afrikaans   am amharic    ar arabic      as assamese   az azerbaijani  ba bashkir
be belarusian  bg bulgarian  bn bengali     bo tibetan    br breton       bs bosnian
ca catalan     cs czech      cy welsh       da danish     de german       el greek
en english     es spanish    et estonian    eu basque     fa persian      fi finnish
fo faroese     fr french     gl galician    gu gujarati   ha hausa        haw hawaiian
he hebrew      hi hindi      hr croatian    ht haitian    hu hungarian    hy armenian
id indonesian  is icelandic  it italian     ja japanese   jw javanese     ka georgian
kk kazakh      km khmer      kn kannada     ko korean     la latin        lb luxembourgish
ln lingala     lo lao        lt lithuanian  lv latvian    mg malagasy     mi maori
mk macedonian  ml malayalam  mn mongolian   mr marathi    ms malay        mt maltese
my burmese     ne nepali     nl dutch       nn nynorsk    no norwegian    oc occitan
pa punjabi     pl polish     ps pashto      pt portuguese ro romanian     ru russian
sa sanskrit    sd sindhi     si sinhala     sk slovak     sl slovenian    sn shona
so somali      sq albanian   sr serbian     su sundanese  sv swedish      sw swahili
ta tamil       te telugu     tg tajik       th thai       tk turkmen      tl tagalog
tr turkish     tt tatar      uk ukrainian   ur urdu       uz uzbek        vi vietnamese
yi yiddish     yo yoruba     yue cantonese  zh chinese
"""

LANGUAGES: dict[str, str] = dict(re.findall(r"(\w+) (\w+)", _NAMES))
"""The languages of Whisper, which DeepInfra's speech endpoints list: ISO 639-1 codes, with `haw`
and `yue`, which have none there, and Whisper's own `jw` for Javanese. English names by code."""

_OTHER_NAMES = {
    "castilian": "es",
    "farsi": "fa",
    "flemish": "nl",
    "haitian creole": "ht",
    "jv": "jw",  # ISO 639-1's own code
    "mandarin": "zh",
    "moldovan": "ro",
    "myanmar": "my",
    "nb": "no",
    "panjabi": "pa",
    "sinhalese": "si",
    "valencian": "ca",
}
_CODES = {name: code for code, name in LANGUAGES.items()} | _OTHER_NAMES


def validate_language(language: str) -> str:
    """Return a language's code if it is one that speech endpoints know.

    Args:
        language: ISO 639-1 code in lower case, or `haw`, `yue`, `jw`.

    Raises:
        VoxtralInvalidRequestError: It is something else; if it names a language ("French",
            "en-US"), the message has its code.
    """
    if language in LANGUAGES:
        return language
    meant = _meant(language)
    hint = f"for {LANGUAGES[meant].title()} it is {meant!r}" if meant else "such as 'en' or 'fr'"
    raise VoxtralInvalidRequestError(
        f"language={language!r} is no code that speech endpoints know: give the ISO 639-1 code "
        f"({hint}), or leave it unset to let the model tell the language."
    )


def normalize_language(told: str) -> str:
    """Return the code of a language that a server names, or what it says if that is unknown.

    OpenAI's servers say "english" where others say "en".
    """
    return _CODES.get(told.lower(), told)


def _meant(language: str) -> str | None:
    """Return the code that was probably meant: misspelt, by name, in capitals, or with a region."""
    name = language.strip().lower()
    base = name.replace("_", "-").partition("-")[0]
    if base in LANGUAGES:
        return base
    near = get_close_matches(name, _CODES, n=1, cutoff=0.75)
    return _CODES.get(name) or _CODES.get(base) or (_CODES[near[0]] if near else None)
