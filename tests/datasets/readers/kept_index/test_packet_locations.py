"""Locations of packets: equal to those of the container, or unknown."""
import os
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from tests.helpers.videos import make_video
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
    path, source = str(tmp_path / 'full_range.mp4'), make_video(tmp_path / 'source.mp4', 12)
    with av.open(str(source)) as inp, av.open(path, 'w') as out:
        copy = out.add_stream_from_template(inp.streams.video[0])
        context = copy.codec_context  # the packets do not say it
        context.color_range, context.colorspace = ColorRange.JPEG, Colorspace.ITU709
        context.color_primaries = context.color_trc = 1  # BT.709, or none of it is written
        for packet in inp.demux(inp.streams.video[0]):
            if packet.size:
                packet.stream = copy
                out.mux(packet)
    with av.open(path) as container:
        truth = next(container.decode(video=0))
        assert truth.color_range == ColorRange.JPEG
    open_video(path, store=store).close()
    with open_video(path, store=store) as reader:
        assert isinstance(reader, IndexedReader) and not reader.index.unreliable_reason
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
