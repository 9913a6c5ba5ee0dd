#!/usr/bin/env bash
# How long a newcomer waits: from `git clone` to the first reply, and to the first agent with MirrorMiddleware.
# bench/first_steps.sh [REPOSITORY]: works in a new folder with an empty home, prints seconds since the start.
# Needs git, make, a Python and a package index. An empty home has no pip cache, so every package is downloaded.
set -euo pipefail
repository=${1:-$(git -C "$(dirname "$0")" rev-parse --show-toplevel)}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/home" "$folder/program"

clean() { # clean COMMAND...: run it with an empty home, without a key and without a developer's settings
    env --ignore-environment HOME="$folder/home" PATH="$PATH" LANG=C.UTF-8 PYTHONUNBUFFERED=1 \
        PIP_DISABLE_PIP_VERSION_CHECK=1 ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} "$@"
}
SECONDS=0
reached() { printf '%4d s  %s\n' "$SECONDS" "$1"; }

cd "$folder"
clean git clone --quiet "$repository" clone
reached "git clone"

# grep ends at the first reply, and the demo ends with it.
grep --quiet '^mirror ' < <(clean make --silent --directory clone demo 2>"$folder/log") || {
    cat "$folder/log" >&2
    exit 1
}
reached "make demo: the first reply"

sed -n '/^```python$/,/^```$/{//!p; /^```$/q}' clone/README.md >program/first.py
cd program
clean ../clone/.venv/bin/python first.py >"$folder/out"
grep --quiet shellfish "$folder/out"
reached "the README's program has printed its replies"

clean python3 -m venv own
clean own/bin/pip install --quiet '../clone[agents,testing]'
reached "pip install '.[agents,testing]' in an environment of its own"

cat >agent.py <<'PROGRAM'
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from mirror_graph.agents import MirrorMiddleware
from mirror_graph.testing.endpoint import Endpoint

mirror = MirrorMiddleware()
thread = {"configurable": {"thread_id": "dinner"}}
with Endpoint(lambda call: "The satay is lovely.") as endpoint:  # stands for a real model
    model = ChatOpenAI(model="any", base_url=endpoint.url, api_key=lambda: "none")
    agent = create_agent(model, middleware=[mirror], checkpointer=InMemorySaver())
    for text in ("I'm severely allergic to peanuts.", "Which satay shall I order?"):
        print(agent.invoke({"messages": [("user", text)]}, thread)["messages"][-1].text)
        mirror.settle_sync("dinner", timeout=30)
mirror.close()
PROGRAM
clean own/bin/python agent.py >"$folder/out"
grep --quiet peanuts "$folder/out"
reached "an agent with MirrorMiddleware, in a file of 15 lines, has replied with a note"
printf '%s, %s cores, load average %s\n' "$(date -u +%F)" "$(nproc)" "$(cut -d' ' -f1-3 /proc/loadavg)"
