"""The section of `penstock.yaml` on files and batches."""

from pydantic import Field

from penstock.manifest.section import Section


class Batches(Section):
    """Requests that can wait: files of them, answered while engines have nothing better to do."""

    enabled: bool = True
    """Whether there are `/v1/files` and `/v1/batches`."""
    to: str | None = Field(default=None, min_length=1, examples=["s3://my-bucket/files"])
    """Where files lie: a folder, which several gateways must share, or `s3://BUCKET/PREFIX`. None
    means `.penstock/batches` on this machine; in AWS it means that there are no files."""
    at_once: int = Field(default=4, ge=1, le=1000)
    """Lines of batches that one gateway asks at the same time."""
    share: float = Field(default=0.5, gt=0, le=1)
    """A line begins only while less than this share of an engine's places is taken, 0 to 1."""
    places: int = Field(default=8, ge=1)
    """Requests that an engine runs at once, where neither `queue.max_running` nor
    `engine.max_sequences` says so."""
    max_file_mib: float = Field(default=100, gt=0, le=1024)
    """Largest file that is taken, MiB."""
    upload_timeout_s: float = Field(default=600, gt=0)
    """How long an upload may take, seconds."""
    max_lines: int = Field(default=50_000, ge=1, le=1_000_000)
    """Most lines of one batch."""
    max_active: int = Field(default=100, ge=1)
    """Batches that one tenant may have under way."""
    quota_mib: float = Field(default=1024, gt=0)
    """Room for the files of one tenant, MiB; what batches have made counts, but is not refused."""
    keep_days: float = Field(default=30, gt=0, le=3650)
    """How long files are kept, days; an upload may ask for less."""

    @property
    def folder(self) -> str | None:
        """The folder that was named; none where there is none, or a bucket."""
        return None if self.to is None or self.to.startswith("s3://") else self.to
