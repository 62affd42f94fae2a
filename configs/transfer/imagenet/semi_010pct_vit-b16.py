# Table 10, 10 % of the labels. List: tools/data/make_imagenet_subset.py
_base_ = './semi_100pct_vit-b16.py'

train_dataloader = dict(dataset=dict(ann_file='subsets/train_010pct.txt'))
