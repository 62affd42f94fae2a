_base_ = './k400_frame_pairs.py'

train_dataloader = dict(
    dataset=dict(
        data_root='data/mit',
        ann_file='mit_train_list_videos.txt',
        data_prefix=dict(video='videos/training')))
