# 1 % of the labels under the recipe of Table 10. List: tools/data/make_imagenet_subset.py
_base_ = './semi_100pct_vit-b16.py'

train_dataloader = dict(dataset=dict(ann_file='subsets/train_001pct.txt'))
