# Pre-training that continues from public weights: docs/public_weights.md says why
_base_ = './adamw_4096_800e_constant.py'

train_cfg = dict(max_epochs=100)

optim_wrapper = dict(
    # Decoder and projector are new, and have the full rate; the stem of ViT-B has 0.024 of it.
    constructor='vicmae_mm.LayerDecayOptimWrapperConstructor',
    optimizer=dict(lr=1.5e-4 * 1024 / 256),  # the base lr of training from scratch
    paramwise_cfg=dict(layer_decay_rate=0.75))

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-9, by_epoch=True, begin=0, end=5,
         convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=95, eta_min=0.0, by_epoch=True, begin=5, end=100,
         convert_to_iter_based=True),
]

auto_scale_lr = dict(base_batch_size=1024)

default_hooks = dict(pretrained_fit=dict(allow_untrained=False))  # load_from is needed
find_unused_parameters = False  # the projector is run from the start
