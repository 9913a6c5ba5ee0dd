"""MIRROR in plain Python: no event loop of one's own, as in a script, Flask, Django or a notebook."""

import os

from mirror_graph import MirrorContext, open_mirror_sync

talk = [f"Tell me about dish number {number}, please. {'What else goes with it? ' * 20}" for number in range(1, 13)]
talk[1] = "I'm severely allergic to peanuts."
talk[11] = "Shall I order the satay with peanut sauce?"
context = MirrorContext(talker_model=os.environ.get("MIRROR_MODEL", "scripted:demo"), window_tokens=500)
with open_mirror_sync(context=context) as mirror:
    conversation = mirror.conversation("dinner", user_id="ana")
    for text in talk:
        stream = conversation.stream(text)
        for piece in stream:
            print(piece, end="", flush=True)
        print()
        conversation.settle(timeout=30)  # only to look at the mind: no reply ever waits for it
    print({"turn": stream.reply.turn, "lag": conversation.mind().lag})
