"""A teacher's predictions, stored and moved with the frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flow.store import Store
from temporalkd.config import Config, ConfigError
from temporalkd.config.build.motion import GIGABYTES, cache_folder, configured, default_cache
from temporalkd.data.prediction_store import FlowAveragedStore, PredictionStore, Routed, Targets
from temporalkd.data.sampler import ClipSampler
from temporalkd.data.source import Source
from temporalkd.methods import Method
from temporalkd.models import StoredTeacher, Teacher, fingerprint, to_store


def targets(config: Config, teacher: Teacher | None, folder: Path | None = None) -> Targets | None:
    """What clips get the teacher's predictions from, where they are to be stored.

    Args:
        folder: of the store; None: in the cache.

    Raises:
        ConfigError: they are to be averaged along the flow, and no flow is configured.
    """
    section = config.teacher
    if teacher is None or section is None or not section.store:
        return None
    place, gigabytes = (config.flow.cache, config.flow.cache_gigabytes) if config.flow else (None, GIGABYTES)
    store = Store(folder or cache_folder(place) / "teacher", int(gigabytes * 2**30), "prediction store")
    predictions = PredictionStore(store, to_store(teacher), fingerprint(teacher))
    if section.flow_passes == 0:
        return predictions
    if config.flow is None:
        raise ConfigError("teacher.flow_passes: averaging along the flow needs a flow network: set flow")
    network, cache = configured(config.flow), default_cache(place, gigabytes)
    return FlowAveragedStore(
        predictions, lambda a, b: cache.both(network, a, b), network.fingerprint, section.flow_passes
    )


def of_footage(method: Method, clips: ClipSampler) -> Sequence[Source]:
    """The sources whose frames the teacher is asked about; the clips have no targets of others.

    Raises:
        ConfigError: it is asked about frames without labels alone, and there are none.
    """
    if not method.needs_teacher or method.teaches_labelled:
        return clips.sources
    footage = [clips.sources[number] for number in dict.fromkeys(number for number, _ in clips.unlabelled)]
    if not footage:
        raise ConfigError(
            "method: the teacher is asked about frames without labels, and the data has none: set data.unlabelled, or "
            "method.labelled to 1"
        )
    if clips.targets is not None:
        clips.targets = Routed((footage, clips.targets), others=True)
    return footage


def in_training(config: Config, teacher: Teacher | None) -> Teacher | None:
    """The teacher, or what stands for one whose predictions come with the clips.

    Raises:
        ConfigError: a stored teacher is to see the frames disturbed.
    """
    section = config.teacher
    if teacher is None or section is None or not section.store:
        return teacher
    if section.disturbed:
        raise ConfigError("teacher.disturbed: what is stored is of the frame as it is: set teacher.store to false")
    return StoredTeacher(teacher)
