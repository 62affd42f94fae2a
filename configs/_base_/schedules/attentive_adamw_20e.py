# V-JEPA's attentive probe (arXiv 2404.08471, Table 9), no warm-up. From its public code: clipping,
# and no decay on biases and norms.
train_cfg = dict(type='vicmae_mm.ResumableTrainLoop', max_epochs=20, val_interval=1)
val_cfg = dict()
test_cfg = dict()

optim_wrapper = dict(
    type='vicmae_mm.BF16OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
    clip_grad=dict(max_norm=1.0))

param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=20, eta_min=0.0, by_epoch=True, begin=0, end=20,
         convert_to_iter_based=True),
]

auto_scale_lr = dict(base_batch_size=256)  # videos over all GPUs
