"""Recommend from a catalogue of your own. Nothing that touches a constraint of the user's is offered."""

import asyncio

from mirror_graph import MirrorContext, open_mirror

MENU = {
    "Shrimp skewers": "Grilled shrimp with lemon and a salad.",
    "Tomato soup": "A soup of roasted tomatoes with basil and cream.",
    "Paella": "Rice with mussels, prawns and saffron from a big pan.",
    "Mushroom risotto": "Rice that is cooked in wine with mushrooms and cheese.",
    "Ribollita": "A soup of bread, kale and beans from Tuscany.",
}


def our_search(request: str, count: int, without: list[str]) -> list[dict[str, str]]:
    """Return items of the catalogue: here the first ones, in a shop those that fit the request."""
    dishes = [title for title in MENU if title not in without][:count]
    return [{"title": title, "about": MENU[title], "met": "eaten"} for title in dishes]


async def main() -> None:
    """Mention an allergy, then ask for three dishes, and for more than there are."""
    async with open_mirror(context=MirrorContext(talker_model="scripted:demo")) as mirror:
        conversation = mirror.conversation("dinner", user_id="ana")
        await conversation.say("I'm severely allergic to shellfish. My sister's fortieth is on Friday.")
        offer = await conversation.recommend("Something warm for Friday?", k=2, source=our_search)
        print(offer.text)
        print("withheld:", [(verdict["item"]["title"], verdict["constraint"]) for verdict in offer.withheld])
        offer = await conversation.recommend("And for dinner on Saturday?", k=3, source=our_search)
        print(offer.text, f"(missing: {offer.missing})")


if __name__ == "__main__":
    asyncio.run(main())
