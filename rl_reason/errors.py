"""Every fault the framework raises, as one picklable tree.

    RlReasonError
    ├── ConfigError       the recipe or the command line is wrong; nothing was started
    ├── DataError         a prompt file or data set is wrong
    ├── PluginError       a plug-in cannot be found or does not keep its contract
    ├── VerifierError     the verifier pool cannot work (one bad answer is a value, not this)
    ├── SandboxError      programs cannot be run at the isolation demanded
    ├── RolloutError      an engine failed to generate
    ├── LearnerError      the learner failed to update
    ├── SyncError         engines and learner disagree about the weights
    ├── CheckpointError   a checkpoint cannot be written, or none that is whole can be read
    ├── MergeError        models cannot be merged, or the result cannot be written
    └── DeadActorError    a remote part died or missed its deadline

Expected outcomes (truncated, repeated, could not judge) are values on records (`types.py`), never exceptions.
Each error takes one message, so it survives pickling on its way through Ray. A message says what was wrong, where,
and what to do instead.
"""

from __future__ import annotations


class RlReasonError(Exception):
    """Base of all faults; `cli` prints its message without a traceback and exits with `exit_code`."""

    exit_code = 1


class ConfigError(RlReasonError, ValueError):
    """The recipe or the command line is wrong. Raised before anything is loaded."""

    exit_code = 2


class DataError(RlReasonError, ValueError):
    """A prompt source is wrong; the message names file and line."""

    exit_code = 2


class PluginError(RlReasonError, LookupError):
    """A plug-in reference resolves to nothing usable; the message lists what exists."""

    exit_code = 2


class VerifierError(RlReasonError, RuntimeError):
    """The verifier pool cannot start or keeps losing its workers."""


class SandboxError(RlReasonError, RuntimeError):
    """Programs cannot be run at the isolation demanded; the message names what the host lacks."""


class RolloutError(RlReasonError, RuntimeError):
    """An engine could not generate."""


class LearnerError(RlReasonError, RuntimeError):
    """The learner could not take a step."""


class SyncError(RlReasonError, RuntimeError):
    """After a weight sync the engine's log-probs are not the learner's."""


class CheckpointError(RlReasonError, RuntimeError):
    """A checkpoint could not be written or is damaged."""


class MergeError(RlReasonError, ValueError):
    """Models cannot be merged, or their files are damaged; the message names the tensor and both sources."""


class DeadActorError(RlReasonError, RuntimeError):
    """A remote engine or learner died, or did not answer within its deadline."""
