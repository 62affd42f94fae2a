"""Locations of packets: equal to those of the container, or unknown."""
import os
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from tests.helpers.videos import draw_frame
from vicmae_mm.datasets.readers import open_video
from vicmae_mm.datasets.readers.kept_index.indexed_reader import IndexedReader
from vicmae_mm.datasets.readers.kept_index.packet_locations import find_packet_locations


def test_packets_are_those_of_the_container(video, store):
    open_video(video, store=store).close()
    with open_video(video) as plain, open_video(video, store=store) as reader:
        for one, other in zip(reader.read_packets(), plain.read_packets(), strict=True):
            assert bytes(one) == bytes(other)
            assert (one.pts, one.is_keyframe) == (other.pts, other.is_keyframe)


def test_colour_settings_of_the_container_are_kept(store, tmp_path):
    path = str(tmp_path / 'full_range.mp4')
    with av.open(path, 'w') as out:
        stream = out.add_stream('mpeg4', rate=25)  # which does not say it itself
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        context = stream.codec_context
        context.color_range, context.colorspace = ColorRange.JPEG, Colorspace.ITU709
        context.color_primaries = context.color_trc = 1  # BT.709, or none of it is written
        for i in range(12):
            frame = av.VideoFrame.from_ndarray(draw_frame(i), format='rgb24')
            out.mux(stream.encode(frame.reformat(format='yuv420p')))
        out.mux(stream.encode(None))
    with av.open(path) as container:
        truth = next(container.decode(video=0))
        assert truth.color_range == ColorRange.JPEG
    open_video(path, store=store).close()
    with open_video(path, store=store) as reader:
        assert isinstance(reader, IndexedReader)
        assert np.array_equal(reader.get_frames([0])[0], truth.to_ndarray(format='rgb24'))


def test_a_hidden_frame_is_not_taken_for_another(video):
    with open_video(video) as reader:
        assert find_packet_locations(reader) is not None
        reader.index.pts[1] = reader.index.pts[5]  # as of a packet that an edit list hides
        assert find_packet_locations(reader) is None


def test_a_container_that_keeps_packets_in_another_form(video):
    with open_video(video) as reader:
        Path(video).write_bytes(bytes(os.path.getsize(video)))  # as if they were encrypted
        assert find_packet_locations(reader) is None
