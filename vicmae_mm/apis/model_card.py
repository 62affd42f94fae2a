"""The README.md of a folder of weights, as the Hub shows it."""
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from vicmae_mm.checkpoints.conversion import Conversion
from vicmae_mm.version import __version__
from vicmae_mm.visualization.curves import find_scalars

_Settings = dict[str, Any]
_RECIPE = ('about', 'model', 'train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg',
           'auto_scale_lr', 'randomness', 'load_from')
_NO_METRIC = re.compile(
    r'(.*(lr|time|_chance|_weight|_per_second)|memory|epoch.*|iter|step|bad_videos)$')
# Versions, and the batch of all processes
_LOGGED = dict(versions=r' ((?:PyTorch|MMEngine): \S+)', batch=r'(\S+ \S+ per optimizer step .*\))')
TAG = 'tags: [vicmae]'
_TEXT = '''---
library_name: {library}
pipeline_tag: {task}
{tag}
# license: yours to choose, within the rights to the data and to the weights it started from
---
# {name}

`{model}` of {library}, converted from `{file}` ({source}) by vicmae_mm {version}. Values are
unchanged, bit for bit. Added: {added}.

```python
import torch
from PIL import Image
{code}
with torch.no_grad():
    outputs = model({inputs})
```

## Training

{facts}

```json
{recipe}
```

## Metrics

{metrics}
'''
_TIMM = '''import timm
model = timm.create_model({path!r}, pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
images = transform(Image.open('photo.jpg').convert('RGB'))[None]'''
_TRANSFORMERS = '''from transformers import AutoImageProcessor, {model}
model = {model}.from_pretrained({path!r}{options}).eval()
processor = AutoImageProcessor.from_pretrained({path!r})
inputs = processor({images}, return_tensors='pt')'''


def model_card(name: str, file: Path, result: Conversion, settings: _Settings, meta: _Settings,
               cfg: _Settings) -> str:
    """Describe what is in a folder.

    ``settings`` are its ``config.json``, ``meta`` is that of the checkpoint ``file``, ``cfg`` the
    training config as data. If it is of a run, metrics and versions come from the files next to it.
    """
    work_dir = file.parent if 'iter' in meta else file  # the runs next to others are not theirs
    log = ''.join(path.read_text('utf-8', 'replace')[:99_999] for path in work_dir.glob('*/*.log'))
    facts = dict(epochs=meta.get('epoch'), iterations=meta.get('iter'), end=meta.get('time')) | {
        name: ', '.join(sorted({*re.findall(pattern, log)})) for name, pattern in _LOGGED.items()}
    recipe = {key: cfg[key] for key in _RECIPE if key in cfg}
    if schedule := (cfg.get('default_hooks') or {}).get('contrast_weight'):
        recipe['default_hooks'] = dict(contrast_weight=schedule)
    return _TEXT.format(
        name=name, file=file.name, source=result.source, version=__version__,
        tag=TAG, added='; '.join(result.added) or 'nothing',
        facts=_list(facts), metrics=_list(_metrics(work_dir, meta.get('iter', 0))),
        recipe=json.dumps(recipe, indent=1, default=str),
        **_usage(name, settings))


def _list(items: _Settings) -> str:
    return '\n'.join(f'* {key}: {value or "not known"}' for key, value in items.items()) or 'None.'


def _metrics(work_dir: Path, iterations: int) -> dict[str, str]:
    """The last value of each before the checkpoint was written."""
    last: dict[str, float] = {}
    for path in find_scalars(work_dir):
        for line in path.read_text().splitlines():
            with suppress(ValueError):  # a killed run may leave half a line
                record = json.loads(line)
                if record.get('iter', 0) > iterations:
                    break
                last.update(record)
    # A hook may log any type of JSON.
    return {key: f'{value:.4g}' if isinstance(value, float) else str(value)
            for key, value in last.items() if not _NO_METRIC.match(key)}


def _usage(name: str, settings: _Settings) -> dict[str, str]:
    """What the text says about the library, and how to load the folder."""
    medium, image = 'image', "Image.open('photo.jpg')"
    if 'num_frames' in settings:
        medium, image = 'video', f'[{image}] * {settings["num_frames"]}'
    labels = settings.get('label_names') or settings.get('id2label')
    task = f'{medium}-{"classification" if labels else "feature-extraction"}'
    if model := settings.get('architecture'):
        return dict(library='timm', task=task, model=model, inputs='images',
                    code=_TIMM.format(path=f'local-dir:{name}'))
    model = settings['architectures'][0]
    options = ', add_pooling_layer=False' * (model == 'ViTModel')
    return dict(library='transformers', task=task, model=model, inputs='**inputs',
                code=_TRANSFORMERS.format(path=name, model=model, options=options, images=image))
