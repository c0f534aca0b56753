"""Whether an earlier run's work is that of the images that are there now: shown before it is used.

Names, labels and sizes are compared by the fingerprint in the recipe. The content is compared by
the digests that a feature file holds of each image, for which images are read once more; that takes
a small share of the time in which they are decoded. Arrays that are held in memory are digested at
once, and are part of the fingerprint.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np

from features.errors import DataError, UsageError
from features.extraction.listings import listing_changes, phrase
from features.extraction.planning import Plan
from features.extraction.shards import Shards, check_same, has_shards_of, take_back
from features.extraction.stream import load_batches
from features.extraction.watch import ENDED
from features.processes.progress import progress_bar
from features.records import JOINED
from features.sources.base import Source, Subset
from features.sources.contents import digest_contents
from features.storage.row_blocks import Rows, shortened
from features.storage.store import FeatureFile
from features.storage.texts import Texts

log = logging.getLogger("offshelf")


def is_finished(plan: Plan) -> bool:
    """Return whether the output is there already, whole, of this recipe and of these images.

    Of a damaged one in shards, those shards that are there are taken back, to go on from.

    Raises:
        UsageError: the output was made by another recipe, or of other images.
        DataError: the output is damaged.
    """
    config, recipe, out = plan.config, plan.recipe, plan.config.out
    if config.restart or not out.exists():
        return False
    with FeatureFile(out) as file:
        if file.recipe != recipe and has_shards_of(recipe, out):
            return False  # an earlier run was to replace the file, and goes on
        if file.recipe.source["kind"] == JOINED:
            raise UsageError(
                f"{out} was joined of {len(file.parts)} feature files, and is not what an "
                "extraction makes; choose another --out, or --restart to replace it"
            )
        check_same(replace(file.recipe, source=recipe.source), recipe, out)
        _check_layout(file, config.layout)
        if problems := file.problems():
            if take_back(file, out):
                log.warning("%s is damaged (%s), and is mended", out, problems[0])
                return False
            raise DataError(f"{out} is damaged ({problems[0]}); --restart makes it anew")
        if changes := _changes(plan, file):
            raise UsageError(
                f"{out} was made from other images than {plan.source.location} holds now: "
                f"{'; '.join(changes)}; --restart extracts all of them again, or choose another "
                "--out"
            )
        log.info("%s is there already: %d images", out, len(file))
    return True


def _check_layout(file: FeatureFile, wanted: str) -> None:
    if file.layout != wanted:
        raise UsageError(
            f"{file.path} is there already, with --layout {file.layout}; `consolidate {file.path} "
            f"--out OTHER` makes one with --layout {wanted} of it, --restart extracts again"
        )


def keep_unchanged(plan: Plan, shards: Shards) -> None:
    """Drop those shards of an earlier run whose images have changed since; warn of each."""
    if _is_in_recipe(plan.source) or not shards.sizes:
        return
    if plan.config.trust_source:
        _warn_of_trust(plan.config.source)
        return
    with progress_bar(shards.covered, 0, "image", plan.config.progress) as bar:
        bar.set_description_str("comparing", refresh=False)
        for start, stop in shards.ranges():
            if start not in shards.sizes:
                continue
            rows = shards.read(start, stop)
            changed = _changed_images(plan, range(start, stop), rows, bar.update)
            if changed:
                shards.drop(start)
                log.warning(
                    "%s since they were extracted; images %d to %d are extracted again",
                    phrase(changed, "has changed", "have changed"), start, stop - 1,
                )  # fmt: skip


def _is_in_recipe(source: Source) -> bool:
    """Tell whether the recipe covers the content: of arrays in memory, or by a store's versions."""
    return source.is_versioned or source.digests is not None


def _changes(plan: Plan, file: FeatureFile) -> list[str]:
    """Return a phrase for each way in which the source is not that of the file."""
    source, is_listed_alike = plan.source, file.recipe.source == plan.recipe.source
    if is_listed_alike and _is_in_recipe(source):
        return []
    if is_listed_alike and plan.config.trust_source:
        _warn_of_trust(plan.config.source)
        return []
    phrases = [] if is_listed_alike else listing_changes(source, file)
    with progress_bar(len(file), 0, "image", plan.config.progress) as bar:
        bar.set_description_str("comparing", refresh=False)
        changed = _changed_images(plan, range(len(source)), file, bar.update)
    if changed:
        phrases.append(phrase(changed, "has changed", "have changed"))
    return phrases


def _changed_images(
    plan: Plan, indices: range, stored: Rows | FeatureFile, advance: Callable[[int], object]
) -> list[str]:
    """Return the ids of those images whose content is no longer what it was.

    Args:
        plan: the plan, with the source.
        indices: the images to look at; those that `stored` does not know are passed over.
        stored: the ids and digests of images that had a row, and those that were rejected.
        advance: is called with a number of images when they are done.
    """
    source, reasons = plan.source, dict(stored.rejected)
    names = source.ids[indices.start : indices.stop]
    rows = Texts.of(stored.ids).places_of(names)
    places = np.flatnonzero(rows >= 0)
    accepted = indices.start + places
    now = (
        digest_contents(source, accepted, advance)
        if source.digests is None
        else source.digests[accepted]
    )
    differs = (now != stored.digests[rows[places]]).any(axis=1)
    rejected = [index for index, name in zip(indices, names, strict=True) if name in reasons]
    return names[places[differs]].tolist() + _no_longer_rejected(plan, rejected, reasons)


def _no_longer_rejected(
    plan: Plan, indices: Sequence[int], reasons: Mapping[str, str]
) -> list[str]:
    """Return the ids of rejected images that can be read now, or are rejected otherwise."""
    if not indices:
        return []
    ended = [index for index in indices if reasons[plan.source[index].id].startswith(ENDED)]
    plan.watch.try_alone(plan.source, ended)
    subset = Subset(plan.source, np.array(indices, np.int64))
    with closing(load_batches(plan.config, subset, plan.given_size, watch=plan.watch)) as batches:
        outcomes = [outcome for batch in batches for outcome in batch.outcomes]
    return [
        subset[outcome.index].id
        for outcome in outcomes
        if outcome.reason is None or shortened(outcome.reason) != reasons[subset[outcome.index].id]
    ]


def _warn_of_trust(source: object) -> None:
    log.warning(
        "--trust-source: the images of %s are taken for those of the earlier run by their names, "
        "labels and sizes; their content was not compared",
        source,
    )
