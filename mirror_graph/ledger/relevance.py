from mirror_graph.ledger.identity import normalised


def touched(entries, words):
    said = set(normalised(words).split())
    return [
        e["id"]
        for e in entries
        if said
        & {w for w in (normalised(e["about"]) + " " + " ".join(normalised(t) for t in e.get("touches", []))).split()}
    ]
