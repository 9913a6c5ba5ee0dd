"""What a text asks for: a recommendation, a plan or an act, or only a fact, a piece of writing, or nothing."""

import re
from typing import Literal, NamedTuple

Intent = Literal["request", "statement", "facts", "writing", "introduction"]

_SENTENCE = re.compile(r"[^.!?\u3002\uff01\uff1f\u061f\n]*[.!?\u3002\uff01\uff1f\u061f\n]*")
_QUESTION = re.compile("[?\uff1f\u061f]")

# Whoever asks may I, shall we, where can I, or for the best one, asks for advice: whatever else the sentence looks like.
_REQUEST = re.compile(
    r"""
    \b(?:can|could|may|might|should|shall|would|do|must|did)\s+(?:i|we|you\ (?:recommend|suggest|plan|book|order))\b
    | \b(?:recommend|suggest|advise|what\ about|how\ about|where\ (?:can|do|should|could)\ i|for\ me\b)
    | \b(?:i|we)(?:'d|\u2019d|'ll|\u2019ll|\ would|\ will)?\ (?:want|like|love|need|plan|hope|intend|wish)\ to\b
    | \b(?:i|we)(?:'m|\u2019m|'re|\u2019re|\ am|\ are)\ (?:going|about|planning|thinking|considering|looking|tempted|off)\b
    | \b(?:let's|let\u2019s|shall|invite[sd]?|tonight|tomorrow)\b
    | \b(?:the|a)\ (?:best|good|better|nice|cheapest|strongest|nearest|closest|safest|hottest)\b
    | \bhow\ (?:to|do\ i|can\ i|should\ i|do\ you|can\ you|much|long\ (?:should|can|may))\b
    | \b(?:soll|sollen|sollte|darf|durfen|dürfen|kann|können|konnen)\s+(?:ich|wir)\b | \b(?:empfiehl|empfehlen|wie\ wäre)
    | \b(?:puedo|podemos|deber[ií]a|deber[ií]amos|recomi[eé]nda|recomiendas)
    | \b(?:puis-je|peut-on|devrais-je|devrions|recommande|conseille)
    | \b(?:posso|possiamo|dovrei|dovremmo|consigli|raccomanda)
    | \b(?:podemos|devo|devemos|recomenda|recomende)
    | 推荐|推薦|建议|建議|可以.*吗|应该|應該|おすすめ|お勧め|薦めて|ましょう|ていい|べき|たいです|たい[。！]?$
    """,
    re.IGNORECASE | re.VERBOSE,
)

# A recommendation in writing is a plan all the same: "write me a workout plan", "write down a recipe".
_PLAN = re.compile(
    r"""
    \b(?:plan|plans|recipe|recipes|menu|itinerary|routine|workout|schedule|program|programme|prescription|diet|regimen
    | shopping\ list|packing\ list|checklist|tutorial|instructions|directions|steps|guide
    | rezept|rezepte|speiseplan|trainingsplan|receta|recetas|recette|recettes|ricetta|ricette|receita|receitas)\b
    | 食谱|食譜|菜单|计划|計画|レシピ|献立
    """,
    re.IGNORECASE | re.VERBOSE,
)

_WRITING = re.compile(
    r"""
    ^\W*(?:(?:please|now|ok|okay|bitte|por\ favor|s'il\ (?:te|vous)\ pla[iî]t|can\ you|could\ you|would\ you|help\ me)\W+)*
    (?:write|compose|draft|translate|proofread|paraphrase|rephrase|summari[sz]e|rewrite|edit|correct|transcribe|spell
     |schreib|schreibe|verfasse|übersetze|uebersetze|ubersetze|korrigiere|fasse
     |escribe|escr[ií]beme|redacta|traduce|traduzca|corrige|resume
     |[ée]cris|[ée]crivez|r[ée]dige|traduis|traduisez|corrige|r[ée]sume
     |scrivi|scrivimi|traduci|correggi|riassumi
     |escreva|escreve|redija|traduza|traduz|corrija|resuma)\b
    | \bhow\ (?:do|can|should|would|to)\s+(?:(?:i|you|we)\s+)?(?:write|spell|pronounce|translate|say|proofread)\b
    | \b(?:proofread|translate|translation\ of|summari[sz]e)\b
    | ^\W*(?:tell|give)\ me\ an?\ (?:\w+\ )?(?:joke|story|riddle|poem)\b
    | \b(?:essay|poem|haiku|limerick|sonnet|short\ story|cover\ letter|screenplay|gedicht|aufsatz|poema|ensayo|po[eè]me
      |dissertation|poesia|saggio|reda[cç][aã]o)\b
    | 翻译|翻譯|翻訳|写一|寫一|作文|诗|詩を|物語を書|文章を
    """,
    re.IGNORECASE | re.VERBOSE,
)

# A farewell letter is no piece of writing.
_FAREWELL = re.compile(
    r"\b(?:goodbye|farewell|suicide|abschieds)[ -]?(?:letter|note|brief|message)|carta de despedida|lettre d'adieu|lettera d'addio|carta de suic[ií]dio|遗书|遺書",
    re.IGNORECASE,
)

_FACTS = re.compile(
    r"""
    ^\W*(?:(?:and|so|ok|okay|by\ the\ way|also|please)\W+)*(?:
      how\ (?:tall|high|old|far|big|large|deep|fast|heavy|wide)\ (?:is|are|was|were|does|do|did|can)\b
    | how\ (?:long|many|much)\b.*\b(?:live|lives|weigh|weighs|exist|ago|population|are\ there|does\ .+\ have|do\ .+\ have)\b
    | how\ many\ \w+\ (?:are|is|does|do|did|has|have)\b
    | how\ (?:does|do|did|is|are|was|were)\ (?!i\b|we\b|you\b)
    | who\ | whose\ | when\ (?:is|was|were|did|does)\ | since\ when\b | why\ (?:is|are|was|were|do|does|did)\ (?!i\b|we\b|my\b)
    | where\ (?:is|was|are|were|does|do|did)\ (?!i\b|we\b|the\ (?:best|next|nearest|closest)|a\ good|there\ a)
    | which\ (?:country|city|year|language|planet|river|continent|century|president|author|team)\b
    | what(?:'s|\u2019s|\ is|\ are|\ was|\ were)\ (?:the\ )?(?:\w+\ )?(?:capital|height|history|origin|etymology|plural|meaning
        |definition|symbol|difference|boiling\ point|melting\ point|speed|population|word|currency|formula|opposite|synonym
        |area|temperature|time|date|square\ root|theory|law)\b
    | what\ (?:does|do|did)\ .*\b(?:mean|stand\ for)\b | what\ (?:year|time|language|colou?r|continent)\b
    | what(?:'s|\u2019s|\ is)\ \d | what(?:\ is|'s|\u2019s)\ an?\ (?!good|nice|great|better|safe|cheap|healthy|fun|strong|fast|quick)
    | (?:explain|define|describe)\ (?!how\ (?:to|i|we)\b)
    | tell\ me\ (?:about\ the\ history|who|when|why|how\ (?:tall|old|far|many))\b | (?:fun\ )?facts?\ about\b | history\ of\b
    | is\ it\ true\ that\b
    | wie\ (?:hoch|alt|weit|groß|gross|tief|schwer|heißt|heisst|viele|spät|spat)\b | wer\ | wann\ | woher\ | warum\ (?:ist|sind|war)
    | was\ (?:bedeutet|heißt|heisst|ist\ (?:der|die|das)\ (?:hauptstadt|unterschied|geschichte|höhe|plural|symbol))\b
    | erklär | erklaer | erklar
    | (?:cu[aá]nto\ (?:mide|pesa|es)|qu[eé]\ (?:altura|significa|hora|año)|cu[aá]l\ es\ la\ (?:capital|diferencia|altura|historia)
      |qui[eé]n|cu[aá]ndo|por\ qu[eé]\ (?:es|son)|explica)
    | (?:quelle\ (?:est\ la\ (?:hauteur|capitale|diff[ée]rence|taille)|heure)|qui\ (?:a|est|[ée]tait)|quand|combien\ mesure
      |que\ (?:signifie|veut\ dire)|pourquoi\ (?:le|la|les|est)|explique)
    | (?:quanto\ (?:[èe]\ alt|misura|pesa|fa)|qual\ [èe]\ la\ (?:capitale|differenza|storia)|chi\ |quando\ |cosa\ significa|spiega)
    | (?:qual\ (?:[ée]\ )?a\ (?:altura|capital|diferen[cç]a|hist[oó]ria)|quanto\ mede|quem\ |o\ que\ significa|explique)
    ) | (?:多高|多远|多大|是谁|什么意思|首都|历史|為什麼|为什么|是什么|几点|何時|何メートル|どのくらいの高さ|意味|首都は|歴史|誰が|なぜ)
    """,
    re.IGNORECASE | re.VERBOSE,
)

_INTRODUCTION = re.compile(
    r"""
    ^\W*(?:(?:hi|hello|hey|hallo|hola|salut|bonjour|ciao|ol[aá]|well|so|also|and|by\ the\ way|oh|fyi|just\ so\ you\ know
     |good\ (?:morning|evening|day))\b\W*(?:there|all)?\W*)*(?:
      (?:my\ name\ is|call\ me|speaking\ as|as\ an?)\b
    | (?:i|we)(?:'m|\u2019m|'re|\u2019re|\ am|\ are)\ (?:(?:taking|recovering|living|suffering|dealing|struggling|working|trying)\b|(?!\w+ing\b))
    | i(?:'ve|\u2019ve)?\ (?:have|had|live|work|was|got|suffer|take|use|love|like|enjoy|hate|prefer|play|study|sing|come|grew
      |always|never|carry|can't|can\u2019t|cannot|am|get|been|survived|lost|used|struggle|avoid|do)\b
    | my\ (?:\w+\ ){1,3}(?:is|are|was|were|has|have|died|got|loves|likes|lives|works|hurts?)\b
    | ich\ (?:bin|habe|leide|lebe|wohne|arbeite|mag|liebe|hatte|war|heiße|heisse|nehme|vertrage)\b | mein\ name\b
    | (?:yo\ )?(?:soy|me\ llamo|tengo|vivo|trabajo|padezco|sufro|estoy|me\ gusta|tomo)\b | mi\ nombre\b
    | je\ (?:suis|m'appelle|vis|travaille|souffre|prends|n'aime)\b | j'(?:ai|habite|aime|adore|[ée]tais)\b
    | (?:io\ )?(?:sono|mi\ chiamo|ho|vivo|lavoro|soffro|prendo|adoro)\b
    | (?:eu\ )?(?:sou|me\ chamo|tenho|moro|trabalho|sofro|estou|tomo|gosto)\b
    | 我(?:是|叫|有|对|對|住|患|喜欢|在) | 私は | 僕は | 俺は | わたしは
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)

# What makes a plan of it: a time, a wish, somebody who has booked.
_PLANNED = re.compile(
    r"""
    \b(?:tonight|tomorrow|today|this\ (?:evening|weekend|afternoon|morning|week)|next\ (?:week|weekend|month)|later|soon|on\ \w+day
    | booked|book|ordered|order|invited|reserved|signed\ up|going\ to|about\ to|plan|planning|want|would|will|wish|but
    | heute|morgen|gebucht|eingeladen|hoy|ma[nñ]ana|reservado|aujourd'hui|demain|r[ée]serv[ée]|ce\ soir|stasera|domani
    | prenotato|hoje|amanh[aã]|reservei|aber|pero|mais|ma|mas)\b
    | 今天|今晚|明天|今日|今夜|明日|週末|周末
    """,
    re.IGNORECASE | re.VERBOSE,
)


class Asked(NamedTuple):
    """What of a text is compared with the constraints, what is only written about, and whether anything is asked."""

    words: str
    writing: str
    is_something: bool


def asked_part(text: str) -> Asked:
    """Leave out of `text` what asks for nothing that could be done: facts, pieces of writing, introductions."""
    sentences = [sentence for sentence in _SENTENCE.findall(text) if sentence.strip()]
    intents = [intent_of(sentence) for sentence in sentences]
    left_out: set[Intent] = {"facts", "writing"}
    # What people say of themselves belongs to what they ask for: "I love skydiving. Shall I sign up?"
    if "request" not in intents:
        left_out.add("introduction")
    words = [sentence for sentence, intent in zip(sentences, intents, strict=True) if intent not in left_out]
    writing = [sentence for sentence, intent in zip(sentences, intents, strict=True) if intent == "writing"]
    return Asked("".join(words), "".join(writing), any(intent in ("request", "statement") for intent in intents))


def intent_of(sentence: str) -> Intent:
    """Say what one sentence is for."""
    if _FAREWELL.search(sentence):
        return "request"
    if _WRITING.search(sentence) and not _PLAN.search(sentence):
        return "writing"
    advice = _REQUEST.search(sentence)
    if not advice and _FACTS.search(sentence):
        return "facts"
    if advice or _QUESTION.search(sentence):
        return "request"
    if _INTRODUCTION.search(sentence) and not _PLANNED.search(sentence):
        return "introduction"
    return "statement"
