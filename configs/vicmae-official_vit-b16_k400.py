# The recipe of the authors' later public code on Kinetics-400 alone
_base_ = './vicmae-official_vit-b16_in1k-k400.py'

train_dataloader = dict(dataset=dict(_delete_=True, **_base_.k400))
