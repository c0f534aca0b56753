"""What a service counts, as Prometheus reads it."""

from collections.abc import Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """Counts since the start of the service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "offshelf_requests", "Requests by status", ["status"], registry=self._registry
        )
        self._images = Counter(
            "offshelf_images", "Images that were answered", registry=self._registry
        )
        self._seconds = Histogram(
            "offshelf_answer_seconds", "From arrival to answer", buckets=_SECONDS,
            registry=self._registry,
        )  # fmt: skip
        self._batches = Gauge(
            "offshelf_batches", "Batches by number of images", ["images"], registry=self._registry
        )

    def answered(self, images: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels("200").inc()
        self._images.inc(images)
        self._seconds.observe(seconds)

    def refused(self, status: int) -> None:
        """Count a request that was refused."""
        self._requests.labels(str(status)).inc()

    def text(self, batches: Mapping[int, int]) -> tuple[bytes, str]:
        """Return all counts, and their media type.

        Args:
            batches: how many batches had each number of images.
        """
        for images, count in batches.items():
            self._batches.labels(str(images)).set(count)
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
