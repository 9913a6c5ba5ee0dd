"""Whom a request is for: it decides whether the constraint of a particular person is relevant to it."""

import re
from functools import lru_cache
from typing import Literal

Concern = Literal["yes", "open", "no"]
"""Whether a request concerns a person: it does, it does not say, or it does not."""

# One line per group of words that may stand for the same person. "my husband" is "my partner" a turn later.
_PERSONS = (
    "husband|partner|spouse|mann|ehemann|marido|esposo|pareja|mari|[ée]poux|conjoint|compagnon|marito|parceiro|丈夫|老公|夫|主人|旦那",
    "wife|partner|spouse|frau|ehefrau|mujer|esposa|pareja|femme|[ée]pouse|compagne|moglie|parceira|妻子|老婆|妻|奥さん",
    "boyfriend|girlfriend|partner|fianc[ée]e?|date|freund|freundin|novio|novia|copain|copine|ragazzo|ragazza|namorado|namorada"
    "|fidanzat[oa]|noivo|noiva|男朋友|女朋友|彼氏|彼女",
    "son|child|kid|boy|baby|toddler|sohn|kind|junge|hijo|ni[nñ]o|beb[ée]|fils|enfant|gar[cç]on|figlio|bambino|filho|menino"
    "|crian[cç]a|儿子|兒子|孩子|宝宝|息子|子供|子ども|赤ちゃん",
    "daughter|child|kid|girl|baby|toddler|tochter|kind|m[aä]dchen|hija|ni[nñ]a|beb[ée]|fille|enfant|figlia|bambina|filha|menina"
    "|crian[cç]a|女儿|女兒|孩子|宝宝|娘|子供|子ども|赤ちゃん",
    "kids|children|twins|boys|girls|kinder|hijos|ni[nñ]os|enfants|figli|bambini|filhos|crian[cç]as|孩子们|子供たち",
    "mother|mom|mum|mommy|mummy|mama|parents?|mutter|mutti|eltern|madre|mam[aá]|padres|m[eè]re|maman|mamma|genitori|m[aã]e|pais"
    "|妈妈|母亲|父母|お母さん|母",
    "father|dad|daddy|papa|parents?|vater|eltern|padre|pap[aá]|p[eè]re|papa|babbo|genitori|pai|爸爸|父亲|父母|お父さん|父",
    "brother|siblings?|bruder|geschwister|hermano|fr[eè]re|fratello|irm[aã]o|哥哥|弟弟|兄|弟",
    "sister|siblings?|schwester|geschwister|hermana|s(?:oe|œ)ur|sorella|irm[aã]|姐姐|妹妹|姉|妹",
    "grandmother|grandma|granny|nana|gran|gro(?:ß|ss)mutter|oma|abuela|grand-m[eè]re|mamie|nonna|av[oó]|奶奶|外婆|祖母|おばあさん",
    "grandfather|grandpa|grandad|granddad|gro(?:ß|ss)vater|opa|abuelo|grand-p[eè]re|papi|nonno|av[oô]|爷爷|外公|祖父|おじいさん",
    "friend|buddy|mate|freund|freundin|amig[oa]|ami|amie|amic[oa]|朋友|友達|友人",
    "colleague|coworker|co-worker|boss|kolleg(?:e|in)|colega|coll[eè]gue|collega|同事|同僚",
    "roommate|flatmate|housemate|neighbou?r|guest|mitbewohner(?:in)?|nachbar(?:in)?|vecin[oa]|voisine?|vicin[oa]|vizinh[oa]|室友|邻居",
    "uncle|aunt|cousin|nephew|niece|onkel|tante|neffe|nichte|t[ií][oa]|prim[oa]|sobrin[oa]|oncle|neveu|ni[eè]ce|zi[oa]|cugin[oa]|nipote",
)

_ANYBODY = re.compile(
    r"""
    \b(?:we|we're|we'll|we'd|us|our|ours|ourselves|together|everyone|everybody|all\ of\ us|family|kids|children|guests?|visitors
    |friends|the\ two\ of\ us|both\ of\ us|couple|party|company|crowd|people|team|potluck
    |wir|uns|unser\w*|zusammen|alle|familie|kinder|g[aä]ste|freunde
    |nosotros|nosotras|nos|nuestr\w+|juntos|todos|familia|ni[nñ]os|hijos|invitados|amigos|vamos
    |nous|notre|nos|ensemble|tous|famille|enfants|invit[ée]s|amis
    |noi|ci|nostr\w+|insieme|tutti|famiglia|figli|bambini|ospiti|amici
    |n[oó]s|nosso|nossa|filhos|crian[cç]as|convidados)\b
    | 我们|我們|咱们|大家|一起|全家|家人|孩子|客人|朋友们|私たち|みんな|皆|一緒|家族|子供|子ども|お客
    """,
    re.IGNORECASE | re.VERBOSE,
)

_PRONOUN = re.compile(
    r"\b(?:he|him|his|she|her|hers|they|them|their|er|ihm|ihn|sie|ihr|[ée]l|ella|le|lo|la|lui|elle|leur|lei|gli|ele|ela)\b"
    "|他|她|彼|彼女",
    re.IGNORECASE,
)

# The user names themselves as the one who eats, takes or does it, and nobody else.
_ALONE = re.compile(
    r"""
    \b(?:alone|by\ myself|on\ my\ own|for\ myself|myself|just\ me|only\ me|for\ me|solo\ trip
    |allein|alleine|f[uü]r\ mich|sol[oa]|para\ m[ií]|pour\ moi|tou(?:t|te)\ seule?|da\ sol[oa]|per\ me|sozinh[oa]|para\ mim)\b
    | \b(?:can|could|may|might|should|shall|do|would)\ i\ (?!cook|make|bake|prepare|serve|bring|give|buy|get|plan|book|organi[sz]e|host|take\ (?:him|her|them)|send|pack)
    | \bi(?:'m|\u2019m|'d|\u2019d|\ am|\ want|\ would)\ (?:to\ |like\ to\ |going\ to\ )?(?:eat|eating|have|having|drink|drinking|order|ordering|take|taking)\b
    | 一个人|一個人|自己|一人で|自分
    """,
    re.IGNORECASE | re.VERBOSE,
)

_MY_PERSON = (
    r"(?:(?:my|our|a|his|her|mein|meine|meinen|meinem|meiner|mi|mon|ma|mes|il\ mio|la\ mia|mio|mia|o\ meu|a\ minha|meu|minha)\s+"
    r"(?:\w+\s+)?(?:" + "|".join(_PERSONS) + r")s?|him|her|them|ihn|ihm|sie|lui|elle|ele|ela|lei)"
)

_FOR_OTHER_ONLY = re.compile(
    rf"""
    \b(?:only|just|solely|purely|nur|s[oó]lo|solamente|seulement|uniquement|solo|soltanto|s[oó]|apenas)\b[^.?!\n]{{0,40}}\b(?:for|f[uü]r|para|pour|per)\ {_MY_PERSON}\b
    | \bfor\ {_MY_PERSON}\ (?:only|alone)\b
    | \b(?:not\ for\ me|nicht\ f[uü]r\ mich|no\ (?:es\ )?para\ m[ií]|pas\ pour\ moi|non\ [eè]\ per\ me|n[aã]o\ [eé]\ para\ mim)\b
    | \bi\ (?:won't|won\u2019t|will\ not|am\ not\ going\ to|don't|do\ not)\ (?:eat|have|touch|drink|take|join|go|come|taste|be\ there|watch)\b
    | \b(?:can|could|may|should|would|will|does|do|is\ it\ (?:safe|ok|okay|fine|alright|dangerous)\ for|how\ (?:much|many|often)\ [^.?!\n]{{0,40}}(?:can|may|should))\ {_MY_PERSON}\b(?!\ and\ (?:i|me|we)\b)
    | \b(?:kann|darf|soll|sollte)\ {_MY_PERSON}\b(?!\ und\ ich\b)
    | 只(?:是)?给|不是给我|だけに|私ではなく|私は食べません
    """,
    re.IGNORECASE | re.VERBOSE,
)

_SELF = re.compile(
    r"\b(?:i|me|myself|we|us|our|ich|mich|wir|uns|yo|nosotros|moi|nous|io|noi|eu|n[oó]s)\b|我|私", re.IGNORECASE
)


def concern_of_person(person: str, text: str) -> Concern:
    """Say whether a request concerns a person who is not the user, such as "my husband"."""
    # Named, or one of those the request is for: their constraint counts as the user's own would.
    if _names_for(person).search(text) or _ANYBODY.search(text):
        return "yes"
    # "What could I cook for him?" A pronoun can only mean somebody who was spoken of.
    if _PRONOUN.search(text):
        return "yes"
    return "no" if _ALONE.search(text) else "open"


def is_for_another_only(text: str) -> bool:
    """Say whether a request is explicitly for somebody else, and the user has no part in it."""
    found = _FOR_OTHER_ONLY.search(text)
    if not found:
        return False
    # "Can my brother and I go?" has the user in it, "I only want the recipe for my brother" has not.
    if re.match(r"(?:can|could|may|should|would|will|does|do|is|how|kann|darf|soll|sollte)\b", found[0], re.IGNORECASE):
        return not _SELF.search(text[found.end() :])
    return True


@lru_cache(maxsize=1024)
def _names_for(whose: str) -> re.Pattern[str]:
    """Match the person by any word that may stand for them, or by their own name."""
    groups = [group for group in _PERSONS if re.search(rf"(?:\b|(?<=[^a-z]))(?:{group})s?(?:\b|$)", whose, re.IGNORECASE)]
    names = [re.escape(word) for word in re.findall(r"\w+", whose) if len(word) > 2 or not word.isascii()]
    words = "|".join([*groups, *names]) or r"\b\B"
    return re.compile(rf"(?<![a-z])(?:{words})s?(?![a-z])", re.IGNORECASE)
