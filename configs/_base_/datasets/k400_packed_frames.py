# Frames packed by tools/data/pack_frames.py in the place of videos; what is done to them stays.
_base_ = './k400_frame_pairs.py'

train_pipeline = _base_.train_pipeline[1:]  # there is no video to open
# OpenCV's bicubic costs a fifth of Pillow's, which filters as it scales down
train_pipeline[2]['transforms'][0]['backend'] = 'cv2'

train_dataloader = dict(
    num_workers=6,
    dataset=dict(
        _delete_=True,
        type='vicmae_mm.PackedFrameDataset',
        data_root='data/kinetics400_packed',
        pipeline=train_pipeline))
