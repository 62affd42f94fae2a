# ViC-MAE on images and clips together, half of the pairs of each
_base_ = './images.py'

title = 'ViC-MAE, images and clips'
about = 'half of the pairs are of images, half of clips: as many pairs in all.'

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='vicmae_mm.MixedPairs',
        datasets=dict(images=_base_.images, clips=_base_.clips),
        weights=dict(images=1, clips=1),
        epoch_length=1000))  # as many pairs as clips; tools/quickstart.py sets it to --clips
