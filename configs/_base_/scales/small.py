# The scale "small" of tools/reproduce.py: ViT-S/16 on frames of 112 px, an eighth of the epochs,
# 512 pairs per step on one GPU. Needs data/kinetics400 and data/imagenet, or shares of them.
image_size = 112
digits = False

pretraining = dict(
    epochs=100,
    settings={
        'model.backbone.arch': 'deit-s',
        'model.decoder': dict(
            num_patches=49, embed_dim=384, decoder_embed_dim=256, decoder_depth=4,
            decoder_num_heads=8),
        'model.projector.in_channels': 384,
        'optim_wrapper.optimizer.lr': 1.5e-4 * 512 / 256,
    })
transfer = dict(
    epochs=30,
    settings={
        'model.backbone.arch': 'deit-s',
        'model.head.in_channels': 384,
        'model.neck.input_features': 384,
        'train_dataloader.batch_size': 512,
        'auto_scale_lr.enable': True,  # the rates are for 1024 and 4096 images
    })
