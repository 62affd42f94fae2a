# Table 7 with a constant contrast weight
_base_ = './adamw_4096_800e.py'

default_hooks = dict(contrast_weight=dict(schedule='constant'))
