"""What a client asks a server to forget."""

from typing_extensions import TypedDict


class ForgetState(TypedDict, total=False):
    """The input of the graph `forget`, and its output: what was forgotten.

    `thread_id` is the conversation whose mind is erased. `user` erases all constraints of whoever asks.
    """

    thread_id: str
    user: bool
