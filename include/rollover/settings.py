"""What a deployment sets, by environment variables ``ROLLOVER_*``. Nothing here differs in code paths."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from upath import UPath

HOME = Path(__file__).resolve().parents[2]


class Settings(BaseSettings):
    """Folders, storage and waiting times."""

    model_config = SettingsConfigDict(env_prefix="ROLLOVER_", frozen=True)

    districts: Path = HOME / "include" / "districts"
    products: Path = HOME / "include" / "products"
    storage: str = f"file://{HOME / 'var' / 'storage'}"
    database_url: str | None = None
    """PostgreSQL as the command line reaches it; tasks use the Airflow connection ``product_db``."""
    settle_seconds: float = 300
    """How long size and time of a drop's files must not change before it is taken."""
    poll_seconds: float = 30
    """How often the SFTP folders are listed, and the ledger asked for an awaited roster."""
    roster_sync_schedule: str = "0 3 * * *"
    """Cron expression, UTC: when the nightly sweep looks at every unpaused tenant."""
    archive_expiry_schedule: str = "0 4 * * *"
    """Cron expression, UTC: when archived years whose time is over are looked for, and asked about."""
    signing_key: Path | None = None
    """PEM file with the private key (Ed25519) of certificates; see ``rollover certificate keygen``."""
    archive_keys: Path | None = None
    """Folder with a key per tenant, see ``rollover archive keygen``; without it archives are not encrypted."""
    backup_days: int | None = Field(default=None, gt=0)
    """After how many days a backup of the product database is gone; a certificate says so, or that nobody has said."""

    @property
    def storage_root(self) -> UPath:
        return UPath(self.storage)
