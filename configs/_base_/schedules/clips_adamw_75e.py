# Fine-tuning on clips as VideoMAE's ViT-B on Kinetics-400 (its published script)
train_cfg = dict(type='vicmae_mm.ResumableTrainLoop', max_epochs=75, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='vicmae_mm.BF16OptimWrapper',
    optimizer=dict(
        type='AdamW',
        lr=5e-4 * 128 / 256,  # base lr x videos a step / 256; each video is in it twice
        betas=(0.9, 0.999),
        weight_decay=0.05),
    constructor='vicmae_mm.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        layer_decay_rate=0.75,
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
        custom_keys={
            '.cls_token': dict(decay_mult=0.0),
            '.register_tokens': dict(decay_mult=0.0),
            '.pos_embed': dict(decay_mult=0.0),
            '.temporal_embed': dict(decay_mult=0.0),
        }))

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-9, by_epoch=True, begin=0, end=5,
         convert_to_iter_based=True),
    # a ratio: every layer ends at the same share of its own rate (1e-6 / 5e-4)
    dict(type='CosineAnnealingLR', T_max=70, eta_min_ratio=2e-3, by_epoch=True, begin=5, end=75,
         convert_to_iter_based=True),
]

auto_scale_lr = dict(base_batch_size=128)  # videos over all GPUs
