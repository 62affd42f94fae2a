# TSM's head: a classifier on each frame, the mean of their logits. mmaction2's own keeps the views
# apart. (TSM's shift of channels belongs to convolutions, a ViT has none.)
_base_ = './tsn_vit-b16_1x1x8.py'

model = dict(cls_head=dict(type='TSMHead', dropout_ratio=0.5, init_std=0.001))
