# As in the authors' code, videos have the crops and colours of images
_base_ = './in1k-k400_pairs.py'

video_pipeline = [
    *_base_.open_video, _base_.sample_pair, _base_.decode, _base_.image_crop_and_flip,
    *_base_.colors, _base_.pack
]
k400 = dict(_base_.k400, pipeline=video_pipeline)

train_dataloader = dict(dataset=dict(datasets=dict(k400=k400)))
