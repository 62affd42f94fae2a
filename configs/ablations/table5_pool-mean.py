# Table 5, mean pooling: the default
_base_ = '../vicmae_vit-b16_k400.py'
