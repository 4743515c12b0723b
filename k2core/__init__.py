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
from .plugin import DecoderName, Plugin, PluginConfig, hookimpl
from .ports import UNSET, Call, Commands, Run, Session
from .registry import Found, Registry
from .runtime import Runtime, solve
from .types import Candidate, Completion, DecodeRequest, Message, Plan, Problem, Result, Task, TrainReport, Usage, Verdict

__version__ = "0.1.0"

__all__ = [
    "UNSET",
    "Call",
    "Candidate",
    "Commands",
    "Completion",
    "ConfigError",
    "DecodeRequest",
    "DecoderName",
    "Delta",
    "Event",
    "Found",
    "K2Error",
    "Ledger",
    "LimitExceeded",
    "Limits",
    "Message",
    "PipelineConfig",
    "Plan",
    "Plugin",
    "PluginConfig",
    "PluginError",
    "PluginIncompatible",
    "PluginNotFound",
    "PluginTable",
    "Price",
    "Problem",
    "Registry",
    "Result",
    "Retry",
    "Run",
    "Runtime",
    "Session",
    "Task",
    "TrainReport",
    "TransientError",
    "Usage",
    "Verdict",
    "VerifierTable",
    "__version__",
    "get_logger",
    "hookimpl",
    "solve",
]
