"""Test doubles for programs that use MIRROR: an OpenAI endpoint and a LangGraph server, both real and local."""
