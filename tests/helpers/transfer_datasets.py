"""The twelve datasets of Table 3 in their published layouts, with a few images of two classes."""
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

# Images of one class are dark, of the other bright, so that any encoder tells them apart
LABELS = (0, 5)
COUNTS = dict(train=4, val=2, test=3)  # of each class
SPLIT_NUMBER = dict(train=1, val=2, test=3)
Item = tuple[str, int, int]  # split, label, number from 1


def items(splits: tuple[str, ...] = ('train', 'test')) -> Iterator[Item]:
    """Every image, numbered across splits and classes."""
    number = 0
    for split in splits:
        for _ in range(COUNTS[split]):
            for label in LABELS:
                number += 1
                yield split, label, number


def pixels(label: int, number: int, size: tuple[int, int] = (24, 36)) -> np.ndarray:
    """An image (H, W, 3) of a class."""
    noise = np.random.default_rng(number).integers(0, 40, (*size, 3))
    return (noise + (200 if label == LABELS[1] else 10)).astype(np.uint8)


def save(path: Path, label: int, number: int) -> None:
    """Write an image and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(label, number)).save(path)


def write_lines(path: Path, lines: list[str]) -> None:
    """Write a text file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(lines) + '\n')


def make_all(root: Path) -> None:
    """Write all twelve below a folder."""
    for make in (make_food, make_cifar, make_birdsnap, make_sun, make_cars, make_aircraft, make_voc,
                 make_dtd, make_pets, make_caltech, make_flowers):
        make(root)


def make_food(root: Path) -> None:
    from mmpretrain.datasets.categories import FOOD101_CATEGORIES
    lists: dict[str, list[str]] = dict(train=[], test=[])
    for split, label, number in items():
        name = f'{FOOD101_CATEGORIES[label]}/{number}'
        save(root / f'food-101/images/{name}.jpg', label, number)
        lists[split].append(name)
    for split, lines in lists.items():
        write_lines(root / f'food-101/meta/{split}.txt', lines)


def make_cifar(root: Path) -> None:
    """Both; their checksums are those of the real files: patch ``CIFAR10`` and ``CIFAR100``."""
    for name, key, files in (
            ('cifar10/cifar-10-batches-py', 'labels',
             [(f'data_batch_{number}', 'train') for number in range(1, 6)] +
             [('test_batch', 'test')]),
            ('cifar100/cifar-100-python', 'fine_labels', [('train', 'train'), ('test', 'test')])):
        folder = root / name
        folder.mkdir(parents=True)
        for file, split in files:
            chosen = [item for item in items() if item[0] == split]
            images = [pixels(label, number, (32, 32)).transpose(2, 0, 1).reshape(-1)
                      for _, label, number in chosen]
            content = {'data': np.stack(images), key: [label for _, label, _ in chosen]}
            (folder / file).write_bytes(pickle.dumps(content))


def make_birdsnap(root: Path) -> None:
    names = {label: f'Bird_{label}' for label in range(6)}
    images, tests = ['url\tmd5\tpath\tspecies_id\tbb_x1'], ['path']
    for split, label, number in items():
        path = f'{names[label]}/{number}.jpg'
        save(root / 'birdsnap/images' / path, label, number)
        images.append(f'http://x/{number}\tabc\t{path}\t{label + 1}\t3')
        if split == 'test':
            tests.append(path)
    write_lines(root / 'birdsnap/images.txt', images)
    write_lines(root / 'birdsnap/test_images.txt', tests)
    write_lines(root / 'birdsnap/species.txt', ['id\tcommon\tscientific\tdir'] + [
        f'{label + 1}\tBird "{label}\tAvis\t{name}' for label, name in names.items()])


def make_sun(root: Path) -> None:
    from mmpretrain.datasets.categories import SUN397_CATEGORIES
    lists: dict[str, list[str]] = dict(train=[], test=[])
    for split, label, number in items():
        name = SUN397_CATEGORIES[label]
        path = f'/{name[0]}/{name}/sun_{number}.jpg'
        save(root / f'SUN397/SUN397{path}', label, number)
        lists[split].append(path)
    write_lines(root / 'SUN397/Partitions/Training_01.txt', lists['train'])
    write_lines(root / 'SUN397/Partitions/Testing_01.txt', lists['test'])


def make_cars(root: Path) -> None:
    chosen = list(items())
    annotations = np.zeros(
        (1, len(chosen)), dtype=[(key, object) for key in ('relative_im_path', 'class', 'test')])
    for index, (split, label, number) in enumerate(chosen):
        path = f'car_ims/{number:06d}.jpg'
        save(root / 'Stanford_Cars' / path, label, number)
        annotations[0, index] = (path, label + 1, int(split == 'test'))
    scipy.io.savemat(root / 'Stanford_Cars/cars_annos.mat', dict(annotations=annotations))


def make_aircraft(root: Path) -> None:
    from mmpretrain.datasets.categories import FGVCAIRCRAFT_CATEGORIES
    folder = root / 'fgvc-aircraft-2013b/data'
    lists: dict[str, list[str]] = dict(train=[], val=[], test=[])
    for split, label, number in items(('train', 'val', 'test')):
        save(folder / f'images/{number:07d}.jpg', label, number)
        lists[split].append(f'{number:07d} {FGVCAIRCRAFT_CATEGORIES[label]}')
    lists['trainval'] = lists['train'] + lists['val']
    for split, lines in lists.items():
        write_lines(folder / f'images_variant_{split}.txt', lines)


def make_voc(root: Path) -> None:
    from mmpretrain.datasets.categories import VOC2007_CATEGORIES
    folder = root / 'VOC2007'
    lists: dict[str, list[str]] = dict(train=[], val=[], test=[])
    for split, label, number in items(('train', 'val', 'test')):
        save(folder / f'JPEGImages/{number:06d}.jpg', label, number)
        # each image also has a difficult object of the other class, which must not count
        objects = [(label, 0), (LABELS[1 - LABELS.index(label)], int(number < 3))]
        write_lines(folder / f'Annotations/{number:06d}.xml', ['<annotation>'] + [
            f'<object><name>{VOC2007_CATEGORIES[kind]}</name><difficult>{difficult}</difficult>'
            '</object>' for kind, difficult in objects[:1 + objects[1][1]]] + ['</annotation>'])
        lists[split].append(f'{number:06d}')
    lists['trainval'] = lists['train'] + lists['val']
    for split, lines in lists.items():
        write_lines(folder / f'ImageSets/Main/{split}.txt', lines)


def make_dtd(root: Path) -> None:
    from mmpretrain.datasets.categories import DTD_CATEGORIES
    chosen = list(items(('train', 'val', 'test')))
    names = np.empty((1, len(chosen)), dtype=object)
    for index, (_, label, number) in enumerate(chosen):
        names[0, index] = f'{DTD_CATEGORIES[label]}/{DTD_CATEGORIES[label]}_{number:04d}.jpg'
        save(root / 'dtd/images' / names[0, index], label, number)
    (root / 'dtd/imdb').mkdir()
    scipy.io.savemat(root / 'dtd/imdb/imdb.mat', dict(images={
        'name': names,
        'class': np.array([[label + 1 for _, label, _ in chosen]]),
        'set': np.array([[SPLIT_NUMBER[split] for split, _, _ in chosen]])}))


def make_pets(root: Path) -> None:
    folder = root / 'Oxford-IIIT_Pets'
    lists: dict[str, list[str]] = dict(train=[], test=[])
    for split, label, number in items():
        save(folder / f'images/Pet_{number}.jpg', label, number)
        lists[split].append(f'Pet_{number} {label + 1} 1 1')
    write_lines(folder / 'annotations/trainval.txt', lists['train'])
    write_lines(folder / 'annotations/test.txt', lists['test'])


def make_caltech(root: Path) -> None:
    folder = root / 'caltech-101'
    lists: dict[str, list[str]] = dict(train=[], test=[])
    for split, label, number in items():
        save(folder / f'101_ObjectCategories/class_{label}/image_{number:04d}.jpg', label, number)
        lists[split].append(f'class_{label}/image_{number:04d}.jpg {label}')
    for split, lines in lists.items():
        write_lines(folder / f'meta/{split}.txt', lines)


def make_flowers(root: Path) -> None:
    folder = root / 'Flowers102'
    chosen = list(items(('train', 'val', 'test')))
    for _, label, number in chosen:
        save(folder / f'jpg/image_{number:05d}.jpg', label, number)
    scipy.io.savemat(folder / 'imagelabels.mat',
                     dict(labels=np.array([[label + 1 for _, label, _ in chosen]])))
    scipy.io.savemat(folder / 'setid.mat', {
        key: np.array([[number for at, _, number in chosen if at == split]])
        for key, split in (('trnid', 'train'), ('valid', 'val'), ('tstid', 'test'))})


def make_class_folders(root: Path, splits: tuple[str, ...] = ('train', 'test')) -> Path:
    """``root/split/<class>/<image>``."""
    for split, label, number in items(splits):
        save(root / split / f'class {label}' / f'{number}.png', label, number)
    return root
