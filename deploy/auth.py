"""Sign-in for a LangGraph server: bearer tokens (JWT) and API keys, as the environment sets them.

The rules are in `mirror_graph.serve.langgraph_auth`, and the variables in docs/deployment.md. A server that is started
without a way to sign in does not start.
"""

from mirror_graph.serve.langgraph_auth import build_auth

auth = build_auth()
