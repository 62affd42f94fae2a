_base_ = '../imagenet_runtime.py'

# Table 8: end-to-end fine-tuning setting
train_cfg = dict(type='vicmae_mm.ResumableTrainLoop', max_epochs=100)
val_cfg = dict()
test_cfg = dict()

optim_wrapper = dict(
    type='vicmae_mm.BF16OptimWrapper',
    optimizer=dict(
        type='AdamW',
        lr=1e-3 * 1024 / 256,  # base lr x batch size / 256
        betas=(0.9, 0.999),
        weight_decay=0.05),
    constructor='LearningRateDecayOptimWrapperConstructor',
    # layer groups and weight decay as in MAE: none on 1-D parameters and on tokens
    paramwise_cfg=dict(
        layer_decay_rate=0.75,
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
        custom_keys={
            '.cls_token': dict(decay_mult=0.0),
            '.register_tokens': dict(decay_mult=0.0),
            '.pos_embed': dict(decay_mult=0.0)
        }))

# the last learning rate is 1e-6, times the decay of the layer
warmup = dict(
    type='LinearLR', start_factor=1e-9, by_epoch=True, begin=0, end=5, convert_to_iter_based=True)
cosine = dict(
    type='CosineAnnealingLR', T_max=95, eta_min_ratio=1e-6 / 4e-3, by_epoch=True, begin=5,
    end=100, convert_to_iter_based=True)
param_scheduler = [warmup, cosine]

auto_scale_lr = dict(base_batch_size=1024)
