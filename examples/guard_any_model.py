"""Hold any chat model to a user's constraints, without a mind, a graph or a database."""

from langchain_core.language_models import FakeListChatModel

from mirror_graph import guarded, relevant, scan

NAIVE = FakeListChatModel(responses=["The satay is lovely: chicken, grilled, with peanut sauce."])


def main() -> None:
    """Scan a message for constraints, and let a model that knows nothing of them answer a risky request."""
    constraints = scan("I'm severely allergic to peanuts, they could kill me.")
    request = "Which starter do you recommend at the Thai place?"
    print("relevant:", relevant(constraints, request))
    print("without: ", NAIVE.invoke(request).text)
    print("guarded: ", guarded(NAIVE, constraints).invoke(request).text)


if __name__ == "__main__":
    main()
