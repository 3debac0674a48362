"""A teacher's predictions, stored and moved with the frames."""

from __future__ import annotations

from flow.store import Store
from temporalkd.config import Config, ConfigError
from temporalkd.config.build.motion import GIGABYTES, cache_folder, configured, default_cache
from temporalkd.data.prediction_store import FlowAveragedStore, PredictionStore, Targets
from temporalkd.models import StoredTeacher, Teacher, fingerprint, to_store


def targets(config: Config, teacher: Teacher | None) -> Targets | None:
    """What clips get the teacher's predictions from, where they are to be stored.

    Raises:
        ConfigError: they are to be averaged along the flow, and no flow is configured.
    """
    section = config.teacher
    if teacher is None or section is None or not section.store:
        return None
    place, gigabytes = (config.flow.cache, config.flow.cache_gigabytes) if config.flow else (None, GIGABYTES)
    store = Store(cache_folder(place) / "teacher", int(gigabytes * 2**30), "prediction store")
    predictions = PredictionStore(store, to_store(teacher), fingerprint(teacher))
    if section.flow_passes == 0:
        return predictions
    if config.flow is None:
        raise ConfigError("teacher.flow_passes: averaging along the flow needs a flow network: set flow")
    network, cache = configured(config.flow), default_cache(place, gigabytes)
    return FlowAveragedStore(
        predictions, lambda a, b: cache.both(network, a, b), network.fingerprint, section.flow_passes
    )


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
