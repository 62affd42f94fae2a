# Table 3 read as Table 9 for other datasets: SGD, 90 epochs, random crops and flips. Table 9's
# batch is 4096, larger than some of these datasets: here 256 on one GPU, at the same base lr.
# Trained on train and val together, scored on test once, after the last epoch.
_base_ = [
    './datasets/imagenet_crops.py',
    './models/imagenet_linear_vit-b16.py',
    './schedules/imagenet_sgd_90e.py',
]

train_dataloader = dict(
    batch_size=256, dataset=dict(_delete_=True, pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(_delete_=True, pipeline=_base_.val_pipeline))
test_dataloader = dict(dataset=dict(_delete_=True, pipeline=_base_.val_pipeline))

val_evaluator = dict(topk=(1, ))
test_evaluator = dict(topk=(1, ))

train_cfg = dict(val_interval=90)
default_hooks = dict(checkpoint=dict(save_best=None))

optim_wrapper = dict(optimizer=dict(lr=0.1))
auto_scale_lr = dict(base_batch_size=256)
