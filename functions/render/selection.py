"""What a study says of itself as a whole: its key objects, and how it is to be presented."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage, KeyObjectSelectionDocumentStorage

from ponte import attributes
from ponte.errors import BadAnswer, NothingToShow, PonteError
from ponte.image import Image
from ponte.instance import open_instance
from ponte.presentation import PresentationState, read_presentation_state
from ponte.presented import PresentedImage
from ponte.quiet import quiet
from ponte.references import Reference, read_key_objects
from ponte.source import Source
from render.options import RenderOptions

MOST_STATES: Final = 1000


@dataclass(frozen=True, slots=True)
class Selection:
    """`keys` are the frames that key objects chose, None for all; `states` are the presentation states."""

    keys: dict[str, tuple[Reference, ...]] | None = None
    states: tuple[PresentationState, ...] = ()

    def frames(self, sop_instance_uid: str, indices: Iterable[int]) -> list[int]:
        """Those of the frames, from 0, that are chosen."""
        if self.keys is None:
            return list(indices)
        chosen = self.keys.get(sop_instance_uid, ())
        return [index for index in indices if any(one.covers(sop_instance_uid, index + 1) for one in chosen)]

    def presented(self, image: Image, sop_instance_uid: str) -> PresentedImage | None:
        """The image by the first state that is for it."""
        for state in self.states:
            if any(one.sop_instance_uid == sop_instance_uid for one in state.images):
                return PresentedImage(image, state, sop_instance_uid)
        return None


EVERYTHING: Final = Selection()


def select(source: Source, study_instance_uid: str, options: RenderOptions) -> Selection:
    """Read the study once for its key objects and states, where they are asked for: they may come last.

    Raises `NothingToShow` where key images are asked for and there are none, and what the source raises.
    """
    if not options.key_images and not options.presentation:
        return EVERYTHING
    references, states = list[Reference](), list[PresentationState]()
    for fetched in source.instances(study_instance_uid):
        dataset = _opened(fetched.read())
        del fetched
        if dataset is None:
            continue
        kind = attributes.text(dataset, "SOPClassUID")
        if kind == KeyObjectSelectionDocumentStorage:
            references.extend(read_key_objects(dataset).references)
        elif kind == GrayscaleSoftcopyPresentationStateStorage and len(states) < MOST_STATES:
            states.append(read_presentation_state(dataset))
    if not options.key_images:
        return Selection(None, tuple(states))
    if not references:
        raise NothingToShow("the study has no key object selection that refers to an image")
    keys: dict[str, tuple[Reference, ...]] = {}
    for one in references:
        keys[one.sop_instance_uid] = (*keys.get(one.sop_instance_uid, ()), one)
    return Selection(keys, tuple(states) if options.presentation else ())


def _opened(data: bytes) -> Dataset | None:
    """None for what cannot be read: it is named when the images are taken."""
    try:
        with quiet():
            return open_instance(data)
    except BadAnswer:
        raise
    except PonteError:
        return None
