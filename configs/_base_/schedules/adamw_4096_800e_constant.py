# Table 7 with a contrast weight that is the same from the first epoch to the last
_base_ = './adamw_4096_800e.py'

default_hooks = dict(contrast_weight=dict(schedule='constant'))
