"""Erase what a LangGraph server, or one that speaks its protocol, stores of a conversation."""

import asyncio
from contextlib import suppress
from typing import Any

from langgraph_sdk import get_client
from langgraph_sdk.errors import APIConnectionError, APIStatusError, NotFoundError

from mirror_graph.errors import MirrorError

GRAPH = "forget"


class ServerError(MirrorError):
    """A server did not do what it was asked to do."""


def forget_on_server(url: str, thread_id: str, *, token: str | None, user: str | None) -> None:
    """Delete a thread of a server, and then its mind. Raises `ServerError`.

    In this order: a thread that is gone starts no further pass.
    """
    asyncio.run(_forget(url, thread_id, token, user))


async def _forget(url: str, thread_id: str, token: str | None, user: str | None) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else None
    context: Any = {"user_id": user} if user else None
    client = get_client(url=url, headers=headers)
    try:
        # It may be gone already: its mind is erased all the same.
        with suppress(NotFoundError):
            await client.threads.delete(thread_id)
        await client.runs.wait(None, GRAPH, input={"thread_id": thread_id}, context=context, raise_error=True)
    except NotFoundError as error:
        raise ServerError(
            f"{url} serves no graph {GRAPH!r}, so the mind of {thread_id} is still there: add it to langgraph.json"
        ) from error
    except APIStatusError as error:
        raise ServerError(
            f"{url} refused to forget {thread_id} ({error}): check --token and the thread's id"
        ) from error
    except APIConnectionError as error:
        raise ServerError(f"{url} cannot be reached ({error}): check --server, and that the server runs") from error
    except Exception as error:  # a run that failed is an error of no class of its own
        raise ServerError(
            f"{url} could not forget the mind of {thread_id} ({error}): expected the URL of a running LangGraph server "
            "in --server, such as http://127.0.0.1:2024; a running server's log says more"
        ) from error
    finally:
        await client.aclose()
