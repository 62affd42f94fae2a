# Table 4, frame separation D (distant sampling): the default
_base_ = '../vicmae_vit-b16_k400.py'
