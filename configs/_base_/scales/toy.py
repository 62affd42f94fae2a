# The scale "toy" of tools/reproduce.py: what it changes in every config of a table, for clips of
# moving digits of 48 px and minutes on one core. Nothing here depends on the method. How it was
# chosen is in docs/evidence.md.
image_size = 32  # 224 in the configs; other sizes in their pipelines keep their share of it
digits = True  # trains on clips, and is measured on images, of tools/quickstart.py

arch = dict(
    _delete_=True, embed_dims=96, num_layers=3, num_heads=4, feedforward_channels=384)
on_one_core = dict(num_workers=0, persistent_workers=False, pin_memory=False)

pretraining = dict(
    epochs=30,  # 800 in the configs; warm-up keeps its share of it
    settings={
        'model.backbone.arch': arch,
        'model.backbone.patch_size': 4,
        'model.backbone.mask_ratio': 0.5,
        'model.decoder': dict(
            num_patches=64, patch_size=4, embed_dim=96, decoder_embed_dim=64, decoder_depth=1,
            decoder_num_heads=4),
        'model.head.patch_size': 4,
        'model.projector.in_channels': 96,
        'model.contrast_weight': 1.0,
        'default_hooks.contrast_weight.schedule': 'constant',
        'train_dataloader': dict(batch_size=32, **on_one_core),
        'optim_wrapper.optimizer.lr': 1e-3,
        'default_hooks.reconstruction': None,
        'default_hooks.curves': None,
    })
# Table 10. Its length and rate were not chosen by any result.
transfer = dict(
    epochs=8,
    settings={
        'model.backbone.arch': arch,
        'model.backbone.patch_size': 4,
        'model.head': dict(num_classes=10, in_channels=96),
        'data_preprocessor.num_classes': 10,
        'train_dataloader': dict(batch_size=16, **on_one_core),
        'val_dataloader': dict(batch_size=256, **on_one_core),
        'test_dataloader': dict(batch_size=256, **on_one_core),
        'optim_wrapper.optimizer.lr': 1e-3,
        'train_cfg.val_interval': 8,
    })
# Of the transforms in the pipelines, by name
transforms = dict(
    RandomCropFlip=dict(flip_prob=0.0),  # a mirrored digit is another sign
    RandomFlip=dict(prob=0.0),
    RandomResizedCrop=dict(crop_ratio_range=(0.5, 1.0)),  # a digit fills its image
    GaussianBlur=dict(sigma=(0.1 * 32 / 224, 2.0 * 32 / 224)))  # a length, as sizes are
