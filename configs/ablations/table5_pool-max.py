# Table 5, max pooling
_base_ = '../vicmae_vit-b16_k400.py'

model = dict(pooling=dict(mode='max'))
