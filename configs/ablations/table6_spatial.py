# Table 6, spatial augmentation only: the default
_base_ = '../vicmae_vit-b16_k400.py'
