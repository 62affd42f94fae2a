# ImageNet-1K, the training videos of Kinetics-400, 600 and 700 without duplicates, and Moments in
# Time: 1.28 M pairs of views, 0.65 M and 0.80 M pairs of frames.
_base_ = './in1k-k400_pairs.py'

k710 = dict(
    _base_.k400,
    data_root='data',
    ann_file='kinetics710/kinetics710_train_list_videos.txt',  # tools/data/make_k710_lists.py
    data_prefix=dict(video=''))
mit = dict(
    _base_.k400,
    data_root='data/mit',
    ann_file='mit_train_list_videos.txt',
    data_prefix=dict(video='videos/training'))

train_dataloader = dict(
    dataset=dict(datasets=dict(_delete_=True, in1k=_base_.in1k, k710=k710, mit=mit)))
