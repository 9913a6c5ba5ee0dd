"""The model of an agent whose runs name their model."""

from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult

from mirror_graph.errors import ConfigurationError


class ModelOfContext(BaseChatModel):
    """Stands for the talker's model of the run's `MirrorContext`, which the middleware asks in its place."""

    @property
    def _llm_type(self) -> str:
        return "mirror-context"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise ConfigurationError("this model is chosen by a run's context: put MirrorMiddleware around its calls")
