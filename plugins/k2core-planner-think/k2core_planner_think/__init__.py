"""The planner `think`: plan before you think."""

from .leak import find_leaks, strip_leaks
from .planner import Think, ThinkConfig
from .reply import Reply, read_reply

__all__ = ["Reply", "Think", "ThinkConfig", "find_leaks", "read_reply", "strip_leaks"]
