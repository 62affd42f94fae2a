# Linear evaluation: Table 9, which is for images, on clips
train_cfg = dict(type='vicmae_mm.ResumableTrainLoop', max_epochs=90, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='vicmae_mm.BF16OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1 * 128 / 256, momentum=0.9, weight_decay=0.0))

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-9, by_epoch=True, begin=0, end=10,
         convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=80, eta_min=0.0, by_epoch=True, begin=10, end=90,
         convert_to_iter_based=True),
]

auto_scale_lr = dict(base_batch_size=128)  # videos over all GPUs
