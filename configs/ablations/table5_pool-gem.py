# Table 5, gem pooling
_base_ = '../vicmae_vit-b16_k400.py'

model = dict(pooling=dict(mode='gem'))
