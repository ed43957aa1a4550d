"""Reads what a deployment sets by environment variables ``ROLLOVER_*``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

if TYPE_CHECKING:
    from upath import UPath

HOME = Path(__file__).resolve().parents[2]
MailAddress = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]


class Settings(BaseSettings):
    """Folders, storage and waiting times."""

    model_config = SettingsConfigDict(env_prefix="ROLLOVER_", frozen=True)

    districts: Path = HOME / "include" / "districts"
    products: Path = HOME / "include" / "products"
    storage: str = f"file://{HOME / 'var' / 'storage'}"
    database_url: str | None = None
    """PostgreSQL as the command line reaches it; tasks use the Airflow connection ``product_db``."""
    database_pooler: Literal["session"] | None = None
    """Set to ``session`` if a pooler in session mode is between Rollover and PostgreSQL; other modes cannot be used."""
    settle_seconds: float = 300
    """How long the sizes and times of a drop's files must not change before it is imported."""
    poll_seconds: float = 30
    """How often the SFTP folders are listed, and the ledger asked for an awaited roster."""
    sftp_tasks_per_server: int = Field(default=4, gt=0)
    """How many tasks, over all workers, use one SFTP server at once. Each holds at most two sessions."""
    roster_sync_schedule: str = "0 3 * * *"
    """Cron expression, UTC: when `roster_sync` wakes every tenant with an unfinished import."""
    archive_expiry_schedule: str = "0 4 * * *"
    """Cron expression, UTC: when Rollover looks for archived years past their retention, and asks about them."""
    notices_schedule: str = "*/15 * * * *"
    """Cron expression, UTC: when Rollover looks for notices that are due, and sends them."""
    team_mail: dict[Literal["data_engineer", "customer_success"], tuple[MailAddress, ...]] = {}
    """JSON: the addresses of our own roles, for districts whose file names no contact of that role."""
    signing_key: Path | None = None
    """PEM file with the private key (Ed25519) of certificates; see ``rollover certificate keygen``."""
    archive_keys: Path | None = None
    """Folder with a key per tenant, see ``rollover archive keygen``; without it archives are not encrypted."""
    backup_days: int | None = Field(default=None, gt=0)
    """How many days backups of the product database are kept. The certificate says so, or that it is not known."""

    @property
    def storage_root(self) -> UPath:
        from rollover.storage import storage_path  # brings upath: slow to import, and many commands need no storage

        return storage_path(self.storage)
