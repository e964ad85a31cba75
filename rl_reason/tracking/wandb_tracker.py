"""Weights & Biases, when a recipe asks for it; offline where there is no key. The only file that imports wandb."""

from __future__ import annotations

import hashlib
import logging
import netrc
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlparse

from rl_reason.errors import ConfigError
from rl_reason.types import Group

if TYPE_CHECKING:
    import wandb

log = logging.getLogger(__name__)

Mode = Literal["online", "offline", "disabled"]


class WandbTracker:
    """One wandb run a stage, in a group named after the run folder; a resumed stage continues its wandb run."""

    def __init__(
        self,
        run_folder: Path,
        *,
        stage: str,
        project: str,
        mode: Mode = "offline",
        entity: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """`online` without an API key (WANDB_API_KEY or ~/.netrc) becomes `offline`, with a warning.

        Files go to `<run_folder>/wandb/`; `wandb sync` uploads an offline run later. `config` is shown with the run.

        Raises:
            ConfigError: wandb is not installed.
        """
        try:
            import wandb
        except ImportError as error:
            raise ConfigError(
                "tracking with wandb was asked for and it is not installed: pip install 'rl-reason[wandb]'"
            ) from error
        identity = f"{run_folder.resolve()}/{stage}"
        self._run: wandb.Run = wandb.init(
            project=project,
            entity=entity,
            dir=str(run_folder),
            group=run_folder.resolve().name,
            name=f"{run_folder.resolve().name}/{stage}",
            id=hashlib.sha256(identity.encode()).hexdigest()[:16],
            resume="allow",
            mode=resolve_mode(mode, has_key()),
            config=dict(config or {}),
            settings=wandb.Settings(silent=True, console="off"),
        )
        # The iteration is the x axis, not wandb's own step: a resumed stage logs some iterations a second time.
        self._run.define_metric("iteration")
        self._run.define_metric("*", step_metric="iteration")

    def log(self, metrics: Mapping[str, Any]) -> None:
        """Send one iteration's metrics."""
        self._run.log(dict(metrics))

    def log_groups(self, iteration: int, groups: Sequence[Group], advantages: Sequence[Sequence[float]]) -> None:
        """Responses stay in the run folder: they are big, and may be private."""

    def close(self) -> None:
        """Flush and end the wandb run."""
        self._run.finish()


def resolve_mode(mode: Mode, key_found: bool) -> Mode:
    """`online` needs a key; a run is not lost for want of one."""
    if mode == "online" and not key_found:
        log.warning(
            "wandb: no API key (set WANDB_API_KEY or run `wandb login`), so this run is recorded offline; "
            "`wandb sync` on the folder below RUN_DIR/wandb uploads it later"
        )
        return "offline"
    return mode


def has_key() -> bool:
    """Whether wandb would find a key: WANDB_API_KEY, or an entry for its host in the netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    file = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        return netrc.netrc(str(file)).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
