"""k2core: a microkernel for language models that reason. The kernel owns the run, plugins own the thinking.

>>> import k2core
>>> k2core.solve("What is 17 + 25?").answer  # doctest: +SKIP
'42'
"""

from .config import Limits, PipelineConfig, PluginTable, Price, Retry, VerifierTable
from .errors import ConfigError, K2Error, LimitExceeded, PluginError, PluginIncompatible, PluginNotFound, TransientError
from .events import Delta, Event
from .ledger import Ledger
from .log import get_logger
from .plugin import DecoderName, Plugin, PluginConfig, VerifierName, hookimpl
from .ports import UNSET, Call, Commands, Run, Session
from .registry import Found, Registry
from .runtime import Runtime, solve
from .types import Candidate, Completion, DecodeRequest, Message, Plan, Problem, Result, Task, TrainReport, Usage, Verdict

__version__ = "0.1.0"

# fmt: off
__all__ = [  # noqa: RUF022 # grouped by what they are for
    # run a pipeline
    "Ledger", "Limits", "PipelineConfig", "PluginTable", "Price", "Retry", "Runtime", "VerifierTable", "get_logger", "solve",
    # write a plugin
    "UNSET", "Call", "Commands", "DecoderName", "Found", "Plugin", "PluginConfig", "Registry", "Run", "Session", "VerifierName",
    "hookimpl",
    # records and events
    "Candidate", "Completion", "DecodeRequest", "Delta", "Event", "Message", "Plan", "Problem", "Result", "Task", "TrainReport",
    "Usage", "Verdict",
    # errors
    "ConfigError", "K2Error", "LimitExceeded", "PluginError", "PluginIncompatible", "PluginNotFound", "TransientError",
    "__version__",
]
# fmt: on
