"""`agent`: an agent with tools, in `create_agent`'s loop, with MIRROR's mind, guard and held actions."""

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mirror_graph.agents import build_agent


def current_time(time_zone: str = "UTC") -> str:
    """Return the date and time in a time zone, such as Europe/Lisbon."""
    try:
        now = datetime.now(ZoneInfo(time_zone))
    except (ZoneInfoNotFoundError, ValueError):
        return f"unknown time zone {time_zone!r}: expected a name such as Europe/Lisbon"
    return f"{now:%A, %d %B %Y, %H:%M} in {time_zone}"


graph = build_agent([current_time])
