# Frames packed by tools/data/pack_frames.py instead of videos; what is done to them is the same.
_base_ = './k400_frame_pairs.py'

open_video = []  # there is none
crop_and_flip = dict(_base_.crop_and_flip, backend='cv2')  # the fastest; does not smooth
train_pipeline = [*open_video, _base_.sample_pair, _base_.decode, crop_and_flip, _base_.pack]

train_dataloader = dict(
    num_workers=6,
    dataset=dict(
        _delete_=True,
        type='vicmae_mm.PackedFrameDataset',
        data_root='data/kinetics400_packed',
        pipeline=train_pipeline))
