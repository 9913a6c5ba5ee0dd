"""A program that forks after it opened a host, and never closes it: what happens is printed."""

import os

from mirror_graph import MirrorContext, open_mirror_sync

mirror = open_mirror_sync("forgotten.db", context=MirrorContext(talker_model="openai:test"))
conversation = mirror.conversation("t")
print(conversation.say("Hello").text, flush=True)
if not (child := os.fork()):
    try:
        conversation.say("Hello")
    except RuntimeError as error:
        print(error, flush=True)
    raise SystemExit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(conversation.say("Hello again").turn)
