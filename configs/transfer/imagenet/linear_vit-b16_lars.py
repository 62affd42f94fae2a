# The optimizer and batch of MAE's linear probe: LARS, 16384 images a step = 8 GPUs x 2048
_base_ = './linear_vit-b16.py'

train_dataloader = dict(batch_size=2048)
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True, type='LARS', lr=0.1 * 16384 / 256, momentum=0.9, weight_decay=0.0),
    # no trust ratio for 1-D parameters
    paramwise_cfg=dict(custom_keys={'head.fc.bias': dict(lars_exclude=True)}))
auto_scale_lr = dict(base_batch_size=16384)
