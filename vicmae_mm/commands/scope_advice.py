"""Types that mmengine looks up in another library than the config means."""
import os
from types import FrameType

from mmengine.registry import DefaultScope, Registry

_REGISTRY = os.path.join('mmengine', 'registry', 'build_functions.py')


def scope_advice(error: Exception, frames: list[FrameType]) -> str | None:
    """Advice if a type of another library is built from parts that the default scope lacks.

    ``type='mmaction.TimeSformer'`` finds the class itself, but its attention, which is named
    without a prefix, is looked up in the default scope of the config. ``_scope_`` sets the scope
    for all its parts.

    Args:
        error: A KeyError of mmengine's registry or of mmcv's layers; any other gives None.
        frames: The frames it passed through, the outermost first.
    """
    place = frames[-1].f_locals if frames else {}
    part, registry = place.get('obj_type') or place.get('layer_type'), place.get('registry')
    default = DefaultScope.get_current_instance()
    if not (isinstance(error, KeyError) and isinstance(part, str)
            and isinstance(registry, Registry) and default is not None):
        return None
    # What builds the part; the innermost frame may be the registry's own, which looks it up.
    for frame in reversed(frames[:-1]):
        cfg = frame.f_locals.get('cfg')
        if not (frame.f_code.co_filename.endswith(_REGISTRY) and isinstance(cfg, dict)):
            continue
        scope, _, name = str(cfg.get('type')).rpartition('.')
        if scope and scope != default.scope_name and registry.get(f'{scope}.{part}') is not None:
            return (f'{scope}.{name} is built from {part!r}, which is looked up in the default '
                    f"scope {default.scope_name!r}: add _scope_='{scope}' to the dict with "
                    f"type='{scope}.{name}'.")
    return None
