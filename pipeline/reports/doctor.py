"""What the doctor found, as text for a terminal."""

from pipeline.reports import weights
from pipeline.reports.tables import render
from pipeline.results.listings import Diagnosis, EngineRate, EngineRates


def text(diagnosis: Diagnosis) -> str:
    """Return the machine, the versions of packages, and the weights in the cache."""
    system = f"Python {diagnosis.python}, {diagnosis.platform}"
    facts = {
        "offshelf": f"{diagnosis.offshelf}, {system}",
        "processor": f"{diagnosis.processor}, {diagnosis.cores} cores",
        "flags": ", ".join(diagnosis.flags) or "none known",
        "GPUs": ", ".join(diagnosis.gpus) or "none",
        "engine": f"{diagnosis.engine} in {diagnosis.precision}: {diagnosis.reason}",
        "int8": diagnosis.int8,
        "cache": f"{diagnosis.cache_folder} ({diagnosis.cache_bytes / 1e6:.0f} MB)",
    }
    machine = "\n".join(f"{name:<10} {value}" for name, value in facts.items())
    rows = [(name, number or "not installed") for name, number in diagnosis.packages.items()]
    versions = render(("package", "version"), rows)
    return f"{machine}\n\n{versions}\n\n{weights.text(diagnosis.weights)}"


def rates_text(measured: EngineRates) -> str:
    """Return the table of images a second, by engine and precision."""
    heading = f"{measured.backbone}, batches of {measured.batch_size}"
    heading += ", random weights" if measured.random_weights else ""
    rows = [(rate.engine, rate.precision, _rate(rate)) for rate in measured.rates]
    return f"{heading}\n\n{render(('engine', 'precision', 'images/s'), rows)}"


def _rate(rate: EngineRate) -> str:
    if rate.images_per_second is None:
        return f"failed: {(rate.problem or '')[:80]}"
    return f"{rate.images_per_second:.1f}"
